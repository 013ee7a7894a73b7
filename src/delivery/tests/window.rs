//! How long a sink that does not answer is waited for.

use super::*;

/// The default window of a destination that cannot be reached.
const WINDOW: Duration = Duration::from_secs(12 * 3600);

async fn waiting(auto_resume: bool) -> Lab {
    let mut lab = Lab::with(StoreOptions::default(), &[Fault::Hold]);
    lab.auto_resume = auto_resume;
    lab.append(&numbered("a", 1..=10));
    lab.start();
    wait_for("it is said to wait", || lab.status().state() == State::Retrying).await;
    let problem = lab.status().task().problem().expect("a reason");
    assert!(problem.reason.contains("acknowledged nothing"), "{problem:?}");
    let left = problem.window_left_s.expect("a window");
    assert!((WINDOW.as_secs() - 60..WINDOW.as_secs()).contains(&left), "{left} s");
    lab
}

#[tokio::test(start_paused = true)]
async fn at_the_end_of_its_window_a_silent_sink_has_failed_and_goes_on_by_itself_when_it_answers() {
    let mut lab = waiting(true).await;
    tokio::time::advance(WINDOW - Duration::from_secs(120)).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(lab.status().state(), State::Retrying, "the window is not over");
    tokio::time::advance(Duration::from_secs(120)).await;
    wait_for("it has failed", || lab.status().state() == State::Failed).await;
    assert_eq!(lab.status().task().problem().expect("a reason").window_left_s, Some(0));
    assert_eq!(lab.acked(), Seq::ZERO, "nothing was acknowledged");
    // A life that is begun anew finds the sink well again.
    lab.stop().await.expect("in good order");
    lab.start();
    wait_for("it runs", || lab.acked() == Seq(10)).await;
    assert_eq!(lab.status().state(), State::Running);
    lab.stop().await.expect("in good order");
}

#[tokio::test(start_paused = true)]
async fn without_auto_resume_the_end_of_the_window_ends_the_life_with_what_to_do() {
    let mut lab = waiting(false).await;
    tokio::time::advance(WINDOW).await;
    let error = lab.failure().await;
    assert!(error.class() == Class::Transient && error.is_exhausted(), "failed until someone resumes it");
    assert!(error.to_string().contains("acknowledged nothing"), "{error}");
    assert!(error.next_step().is_some_and(|step| step.contains("resume")), "{error}");
    assert_eq!(lab.acked(), Seq::ZERO);
}
