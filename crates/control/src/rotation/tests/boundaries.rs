//! The driver, and the issuer beside it, are gone at each boundary between two phases: the process ended before the step, for
//! a moment or for days. Keys and holders are real, and nothing is there but what is on the disk.

use super::real::Scene;
use super::*;

/// A place between two steps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Boundary {
    /// The next key is made, and nobody was told.
    Prepared,
    /// It was told, and nobody has confirmed it.
    Told,
    /// Everybody has confirmed it, and it would sign at the next look.
    Confirmed,
    /// It signs.
    Signing,
    /// What the old one signed has run out, and it would leave the bundle at the next look.
    Over,
    /// An operator took it back from its first signature.
    TakenBack,
}

const ALL: [Boundary; 6] =
    [Boundary::Prepared, Boundary::Told, Boundary::Confirmed, Boundary::Signing, Boundary::Over, Boundary::TakenBack];

impl Scene {
    fn state(&self) -> KeyState {
        self.issuer().key_states().into_iter().find(|one| one.keys == Keys::X509).unwrap()
    }

    fn everybody_confirms(&mut self) {
        (0..3).for_each(|index| self.acknowledge(index));
    }

    /// Goes to a boundary and stops before the step.
    fn go_to(&mut self, boundary: Boundary) {
        self.issuer().rotate(&Label::parse("shop").unwrap(), Keys::X509, KeyStep::Prepare).unwrap();
        if boundary == Boundary::Prepared {
            return;
        }
        self.world.control.take_rotations_on();
        assert_eq!(self.state().phase, RotationPhase::Published);
        if boundary == Boundary::Told {
            return;
        }
        self.everybody_confirms();
        pass(&self.world, &[], SETTLED - 1);
        self.world.clock.advance(1);
        if boundary == Boundary::Confirmed {
            return;
        }
        self.world.control.take_rotations_on();
        assert_eq!(self.state().phase, RotationPhase::Signing);
        self.holders_renew();
        match boundary {
            Boundary::Over => self.world.clock.advance(7_300),
            Boundary::TakenBack => drop(ask(&self.world, RotationAct::Back).unwrap()),
            _ => {}
        }
    }

    /// The driver looks and everybody confirms, so many times; everything good is accepted meanwhile.
    fn live(&mut self, looks: u64, seconds: u64) {
        for _ in 0..looks {
            self.everybody_is_heard();
            self.everybody_confirms();
            self.world.clock.advance(seconds);
            self.world.control.take_rotations_on();
            self.holders_renew();
            self.check();
        }
    }
}

#[test]
fn whenever_the_driver_goes_and_however_long_it_is_gone_the_rotation_ends_and_drops_nothing() {
    for boundary in ALL {
        for gone in [0, 3 * 86_400] {
            let mut scene = Scene::new(1);
            let first = scene.state().current;
            scene.holders_renew();
            scene.go_to(boundary);
            let stood = scene.state();
            let at = format!("{boundary:?}, gone for {gone} s: {stood:?}");
            scene.world.clock.advance(gone);
            scene = scene.restart();
            assert_eq!(scene.state(), stood, "{at}");
            scene.check();
            scene.live(3, 6);
            if boundary == Boundary::TakenBack {
                assert_eq!((scene.state().held, &scene.state().current), (true, &first), "{at}");
                start(&scene.world);
            }
            scene.live(20, 400);
            let ended = scene.state();
            assert_eq!((ended.phase, ended.other.as_str()), (RotationPhase::Idle, ""), "{at}");
            assert_ne!(ended.current, first, "{at}");
        }
    }
}

#[test]
fn a_driver_that_returns_waits_for_confirmations_to_itself() {
    for boundary in [Boundary::Prepared, Boundary::Told, Boundary::Confirmed] {
        let mut scene = Scene::new(1);
        scene.go_to(boundary);
        scene = scene.restart();
        for _ in 0..60 {
            scene.everybody_is_heard();
            scene.world.clock.advance(60);
            scene.world.control.take_rotations_on();
        }
        let waits = shown(&scene.world);
        let named = ["proxy/edge-1", "proxy/edge-2", "proxy/edge-3"]
            .map(|name| format!("{name}: it has not confirmed the bundle yet"));
        assert_eq!((waits.phase, waits.waiting_for), (RotationPhase::Published, named.to_vec()), "{boundary:?}");
    }
}

fn start_of(scene: &Scene, domain: &str, keys: Keys) {
    let request = Rotate { domain: domain.into(), keys, act: RotationAct::Start, reason: String::new() };
    scene.world.admin().rotate("local", &request).unwrap();
}

fn phases(scene: &Scene) -> Vec<RotationPhase> {
    scene.world.admin().rotations().unwrap().iter().map(|one| one.phase).collect()
}

#[test]
fn keys_of_two_domains_rotate_at_once_and_each_waits_for_its_own() {
    use RotationPhase::{Idle, Published, Signing};
    let mut scene = Scene::new(1);
    scene.holders_renew();
    // roots of shop and warehouse, then their JWT keys
    assert_eq!(phases(&scene), [Idle; 4]);
    start_of(&scene, "shop", Keys::X509);
    scene.everybody_confirms();
    pass(&scene.world, &[], SETTLED - 1);
    // at the last moment there is more to confirm
    start_of(&scene, "warehouse", Keys::X509);
    start_of(&scene, "shop", Keys::Jwt);
    for index in [0, 1] {
        scene.acknowledge(index);
    }
    pass(&scene.world, &[], 60);
    assert_eq!(phases(&scene), [Published, Published, Published, Idle], "edge-3 has not confirmed what is told now");
    scene.acknowledge(2);
    pass(&scene.world, &[], SETTLED);
    assert_eq!(phases(&scene), [Signing, Signing, Signing, Idle]);
    scene.holders_renew();
    scene.live(30, 300);
    assert_eq!(phases(&scene), [Idle; 4]);
}
