//! A delivery held to a rate: what else it does is not held up, and nothing is lost, doubled or out of order.

use super::*;

fn limit(rps: u64) -> Throttle {
    Throttle { rps, ..Throttle::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_rate_takes_effect_in_the_same_life_and_keeps_the_place() {
    let mut lab = Lab::new();
    lab.append(&numbered("a", 1..=2000));
    lab.throttle.send_replace(limit(100));
    lab.start();
    wait_for("it is throttled", || lab.status().is_throttled()).await;
    let (start, before) = (Instant::now(), lab.values().len());
    wait_for("two seconds' worth", || lab.values().len() >= before + 200).await;
    let took = start.elapsed();
    assert!(took > Duration::from_millis(1700), "{took:?} for 200 rows at 100 a second");
    lab.throttle.send_replace(limit(0));
    wait_for("the rest at once", || lab.values().len() == 2000).await;
    lab.stop().await.expect("in good order");
    assert_eq!(lab.values(), numbers(1..=2000), "each once, in order");
    assert_eq!(lab.acked(), Seq(2000));
}

#[tokio::test(flavor = "multi_thread")]
async fn acks_move_the_cursor_and_a_stop_a_pause_and_a_reset_do_not_wait_for_the_rate() {
    let mut lab = Lab::new();
    lab.append(&numbered("a", 1..=1000));
    lab.throttle.send_replace(limit(1));
    lab.start();
    wait_for("its acks", || lab.acked() >= Seq(2)).await;

    lab.store.cursors().reset("c", Seq(500)).expect("reset");
    wait_for("the place after the reset", || lab.values().contains(&"000501".to_owned())).await;
    assert!(lab.values().len() < 20, "{:?}", lab.values());

    let asked = Instant::now();
    lab.store.cursors().pause("c").expect("pause");
    let status = lab.status();
    wait_for("paused", || status.state() == State::Paused).await;
    assert!(asked.elapsed() < Duration::from_secs(4), "{:?}", asked.elapsed());
    lab.store.cursors().resume("c").expect("resume");
    wait_for("running", || status.state() == State::Running).await;

    let asked = Instant::now();
    lab.stop().await.expect("in good order");
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    assert!(lab.acked() >= Seq(501));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_was_begun_is_given_whole_before_a_stop_and_not_again() {
    for pause in [false, true] {
        let mut lab = Lab::new();
        lab.append(&["a rows", "a rows"]);
        lab.throttle.send_replace(limit(20));
        lab.start();
        wait_for("its first rows", || lab.values().len() >= 5).await;
        let asked = Instant::now();
        if pause {
            lab.store.cursors().pause("c").expect("pause");
            let status = lab.status();
            wait_for("paused", || status.state() == State::Paused).await;
        }
        lab.stop().await.expect("in good order");
        assert!(asked.elapsed() < Duration::from_secs(4), "{:?}", asked.elapsed());
        assert_eq!(lab.values(), numbers(1..=500), "the rest of the entry, and no other");
        assert_eq!(lab.acked(), Seq(1));
        if pause {
            lab.store.cursors().resume("c").expect("resume");
        }
        lab.throttle.send_replace(limit(0));
        lab.start();
        wait_for("the second entry", || lab.acked() == Seq(2)).await;
        lab.stop().await.expect("in good order");
        assert_eq!(lab.values(), [numbers(1..=500), numbers(1..=500)].concat(), "each once");
    }
}
