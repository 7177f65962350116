//! The task in paused time.

use super::*;

/// Lets the task look, whose work is done on other threads, until something holds.
async fn until(world: &World, holds: impl Fn(&World) -> bool) {
    for _ in 0..10_000 {
        if holds(world) {
            return;
        }
        world.clock.advance(1);
        tokio::time::advance(LOOK).await;
        tokio::task::yield_now().await;
        std::thread::yield_now();
    }
    panic!("{:?}", shown(world));
}

#[tokio::test(start_paused = true)]
async fn the_task_goes_all_the_way_and_ends_when_it_is_told_to() {
    let world = World::new();
    let (finish, finishing) = watch::channel(false);
    let task = tokio::spawn(keep_rotating(Arc::clone(&world.control), finishing));
    let before = shown(&world).current;
    start(&world);
    until(&world, |world| phase(world) == RotationPhase::Signing).await;
    until(&world, |world| phase(world) == RotationPhase::Idle).await;
    assert_ne!(shown(&world).current, before);
    finish.send_replace(true);
    task.await.unwrap();
}

#[tokio::test]
async fn the_task_ends_with_whoever_began_it() {
    let world = World::new();
    let (finish, finishing) = watch::channel(false);
    let task = tokio::spawn(keep_rotating(Arc::clone(&world.control), finishing));
    drop(finish);
    task.await.unwrap();
}
