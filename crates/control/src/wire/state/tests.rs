//! Changes between states.

use super::*;

fn key(number: u8) -> [u8; 32] {
    [number; 32]
}

fn list(numbers: &[u8]) -> BTreeMap<[u8; 32], Vec<u8>> {
    numbers.iter().map(|number| (key(*number), vec![*number])).collect()
}

/// The lists of epochs 1, 2, …, each after the one before it; the digest of one is its epoch.
fn history(lists: &[&[u8]]) -> Revocations {
    let mut last: Option<Revocations> = None;
    for (epoch, numbers) in (1..).zip(lists) {
        let digest = key(u8::try_from(epoch).unwrap());
        last = Some(Revocations::new(epoch, digest, Signed::default(), list(numbers), last.as_ref()));
    }
    last.unwrap()
}

#[test]
fn changes_lead_from_every_earlier_list_to_the_present_one() {
    let lists: &[&[u8]] = &[&[1, 2], &[2, 3], &[1, 3, 4], &[], &[5], &[2, 5]];
    let now = history(lists);
    for (epoch, numbers) in (1_u64..).zip(lists).take(lists.len() - 1) {
        let digest = key(u8::try_from(epoch).unwrap());
        let signals = now.signals(Some((epoch, &digest)));
        assert_eq!(signals.base, epoch);
        let mut held = list(numbers);
        for gone in &signals.removed {
            assert!(held.remove(gone.as_slice().first_chunk::<32>().unwrap()).is_some(), "{epoch}: it was not held");
        }
        for item in &signals.added {
            assert!(held.insert(key(item[0]), item.clone()).is_none(), "{epoch}: it was held");
        }
        assert_eq!(held, now.items, "from epoch {epoch}");
    }
}

#[test]
fn whoever_holds_something_else_gets_the_whole() {
    let now = history(&[&[1], &[1, 2], &[2, 3]]);
    for base in [None, Some((2, key(9))), Some((77, key(77))), Some((0, key(0)))] {
        let signals = now.signals(base.as_ref().map(|(epoch, digest)| (*epoch, digest.as_slice())));
        assert_eq!((signals.base, signals.added.len(), signals.removed.len()), (0, 2, 0), "{base:?}");
    }
}

#[test]
fn changes_that_are_remembered_are_bounded() {
    let mut last = Revocations::new(1, key(1), Signed::default(), list(&[1]), None);
    for epoch in 2..2_000 {
        let items = list(if epoch % 2 == 0 { &[1, 2] } else { &[1] });
        last = Revocations::new(epoch, key(1), Signed::default(), items, Some(&last));
    }
    assert_eq!(last.steps.len(), STEPS);
    assert_eq!(last.signals(Some((3, &key(1)))).base, 0);
    assert_eq!(last.signals(Some((1_998, &key(1)))).base, 1_998);
}

#[test]
fn a_manifest_is_the_change_to_the_one_that_is_held() {
    let manifest = |files: &[(&str, u8)]| -> BTreeMap<String, [u8; 32]> {
        files.iter().map(|(path, number)| ((*path).to_owned(), key(*number))).collect()
    };
    let old = manifest(&[("countersign.yaml", 1), ("domains/hr/policies/a.cedar", 2), ("domains/hr/domain.yaml", 3)]);
    let new = manifest(&[("countersign.yaml", 1), ("domains/hr/policies/a.cedar", 9), ("domains/shop/domain.yaml", 4)]);
    let publication = Publication::new(7, Signed::default(), new);
    let served: BTreeSet<Label> = [Label::parse("shop").unwrap()].into();
    let id = RevisionId::from_digest(key(8));
    let change = publication.manifest(Some((id, &old)), Some(&served));
    let told: Vec<(&str, usize, bool)> =
        change.entries.iter().map(|entry| (&*entry.path, entry.sha256.len(), entry.withheld)).collect();
    assert_eq!(
        told,
        [
            ("domains/hr/policies/a.cedar", 32, true),
            ("domains/shop/domain.yaml", 32, false),
            ("domains/hr/domain.yaml", 0, false)
        ]
    );
    assert_eq!(change.base, key(8));
    assert_eq!(publication.manifest(None, None).entries.len(), 3);
    // made once for all who ask alike
    assert!(Arc::ptr_eq(&publication.manifest(None, None), &publication.manifest(None, None)));
    assert!(!Arc::ptr_eq(&publication.manifest(None, None), &publication.manifest(None, Some(&served))));
    assert!(publication.gives(&key(4), Some(&served)) && !publication.gives(&key(9), Some(&served)));
    assert!(publication.gives(&key(9), None) && !publication.gives(&key(77), None));
}
