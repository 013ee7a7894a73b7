use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::config::Span;
use crate::status::Status;

#[derive(Debug, thiserror::Error)]
#[error("{0:?} failure")]
struct Broken(Class);

impl Failure for Broken {
    fn class(&self) -> Class {
        self.0
    }

    fn next_step(&self) -> Option<String> {
        Some("mend it".into())
    }

    fn exit(&self) -> Exit {
        Exit::Source
    }
}

const POLICY: Policy = Policy {
    retry: Retry { connection: Window::For(Span::minutes(720).0), other: Window::For(Span::minutes(10).0) },
    auto_resume: true,
    stops_daemon: false,
};

fn cause(class: Class, connection: bool) -> Cause {
    Cause { connection, ..Cause::of(&Broken(class)) }
}

#[test]
fn delays_double_to_a_minute_with_half_of_them_drawn() {
    let mut attempts = Attempts::default();
    let now = Instant::now();
    let transient = cause(Class::Transient, true);
    let mut delays = Vec::new();
    for _ in 0..9 {
        let Decision::Retry { delay, .. } = attempts.decide(now, Duration::ZERO, &transient, &POLICY, 1.0) else {
            panic!("inside the window")
        };
        delays.push(delay.as_secs());
    }
    assert_eq!(delays, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    let Decision::Retry { delay, .. } = attempts.decide(now, Duration::ZERO, &transient, &POLICY, 0.0) else {
        panic!("inside the window")
    };
    assert_eq!(delay, Duration::from_secs(30));
}

#[test]
fn each_kind_of_failure_has_its_own_window() {
    let start = Instant::now();
    for (connection, minutes) in [(true, 720), (false, 10)] {
        let mut attempts = Attempts::default();
        let c = cause(Class::Transient, connection);
        attempts.decide(start, Duration::ZERO, &c, &POLICY, 0.5);
        let inside = start + Duration::from_secs(minutes * 60 - 1);
        let decision = attempts.decide(inside, Duration::ZERO, &c, &POLICY, 1.0);
        assert_eq!(decision, Decision::Retry { delay: Duration::from_secs(1), left: Some(Duration::from_secs(1)) });
        let over = start + Duration::from_secs(minutes * 60);
        let decision = attempts.decide(over, Duration::ZERO, &c, &POLICY, 0.5);
        assert_eq!(decision, Decision::Fail { resume: Some(AUTO_RESUME_INTERVAL) });
        let by_hand = Policy { auto_resume: false, ..POLICY };
        assert_eq!(attempts.decide(over, Duration::ZERO, &c, &by_hand, 0.5), Decision::Fail { resume: None });
    }
}

#[test]
fn the_window_of_one_kind_is_not_used_up_by_failures_of_the_other() {
    let (mut attempts, start) = (Attempts::default(), Instant::now());
    let (away, refused) = (cause(Class::Transient, true), cause(Class::Transient, false));
    attempts.decide(start, Duration::ZERO, &away, &POLICY, 0.5);
    // The broker was away for half an hour; what is wrong then has ten minutes of its own.
    let back = start + Duration::from_secs(1800);
    let decision = attempts.decide(back, Duration::ZERO, &refused, &POLICY, 1.0);
    assert!(matches!(decision, Decision::Retry { left: Some(left), .. } if left == Duration::from_secs(600)));
    let over = back + Duration::from_secs(600);
    assert!(matches!(attempts.decide(over, Duration::ZERO, &refused, &POLICY, 0.5), Decision::Fail { .. }));
    assert!(matches!(attempts.decide(over, Duration::ZERO, &away, &POLICY, 0.5), Decision::Retry { .. }));
}

#[test]
fn a_window_that_was_waited_out_already_is_not_opened_again() {
    let waited = Cause { exhausted: true, ..cause(Class::Transient, true) };
    let by_hand = Policy { auto_resume: false, ..POLICY };
    let decide = |policy| Attempts::default().decide(Instant::now(), Duration::ZERO, &waited, policy, 0.5);
    assert_eq!(decide(&by_hand), Decision::Fail { resume: None });
    assert_eq!(decide(&POLICY), Decision::Fail { resume: Some(AUTO_RESUME_INTERVAL) });
}

#[test]
fn endless_windows_never_end() {
    let forever = Policy { retry: Retry { connection: Window::Forever, other: Window::Forever }, ..POLICY };
    let (mut attempts, start) = (Attempts::default(), Instant::now());
    for (days, connection) in [(0, true), (0, false), (400, true), (400, false)] {
        let now = start + Duration::from_secs(days * 86_400);
        let decision = attempts.decide(now, Duration::ZERO, &cause(Class::Transient, connection), &forever, 0.5);
        assert!(matches!(decision, Decision::Retry { left: None, .. }), "{decision:?}");
    }
}

#[test]
fn a_life_that_ran_well_opens_a_window_of_its_own() {
    let mut attempts = Attempts::default();
    let start = Instant::now();
    let c = cause(Class::Transient, false);
    attempts.decide(start, Duration::ZERO, &c, &POLICY, 0.5);
    let late = start + Duration::from_secs(3600);
    assert!(matches!(attempts.decide(late, HEALTHY_AFTER, &c, &POLICY, 0.5), Decision::Retry { .. }));
    assert_eq!(attempts.count(), 1);
}

#[test]
fn definite_parks_a_delivery_and_stops_the_daemon_for_capture_and_fatal_always_stops() {
    let capture = Policy { stops_daemon: true, ..POLICY };
    for (class, policy, decision) in [
        (Class::Definite, POLICY, Decision::Park),
        (Class::Definite, capture, Decision::Stop),
        (Class::Fatal, POLICY, Decision::Stop),
    ] {
        let mut attempts = Attempts::default();
        assert_eq!(attempts.decide(Instant::now(), Duration::ZERO, &cause(class, false), &policy, 0.5), decision);
    }
}

/// A task whose lives end as `script` says, the last entry for ever; counts its lives.
struct Scripted {
    lives: Arc<AtomicU32>,
    control: Control,
    shutdown: CancellationToken,
    status: Status,
    supervisor: tokio::task::JoinHandle<Outcome>,
}

fn start(policy: Policy, script: &'static [Option<Class>]) -> Scripted {
    let (lives, control, shutdown, status) =
        (Arc::new(AtomicU32::new(0)), Control::new(false), CancellationToken::new(), Status::new());
    let handle = status.delivery("orders");
    let (l, c, s) = (Arc::clone(&lives), control.clone(), shutdown.clone());
    let supervisor = tokio::spawn(async move {
        let task = handle.task().clone();
        supervise(
            "orders",
            &task,
            move || policy,
            &c,
            &s,
            move |token| {
                let n = l.fetch_add(1, Ordering::SeqCst) as usize;
                let handle = handle.clone();
                async move {
                    match script[n.min(script.len() - 1)] {
                        Some(class) => Err(Box::new(Broken(class)) as Box<dyn Failure>),
                        None => {
                            handle.set_state(State::Running);
                            token.cancelled().await;
                            Ok(())
                        }
                    }
                }
            },
        )
        .await
    });
    Scripted { lives, control, shutdown, status, supervisor }
}

impl Scripted {
    async fn reach(&self, state: State) {
        let mut watch = self.status.find("orders").expect("it exists").task().watch();
        watch.wait_for(|s| *s == state).await.expect("the task lives");
    }

    fn lives(&self) -> u32 {
        self.lives.load(Ordering::SeqCst)
    }
}

#[tokio::test(start_paused = true)]
async fn a_transient_failure_is_retried_until_it_works() {
    let t = start(POLICY, &[Some(Class::Transient), Some(Class::Transient), None]);
    t.reach(State::Retrying).await;
    let problem = t.status.find("orders").unwrap().task().problem().unwrap();
    assert_eq!((problem.reason.as_str(), problem.next_step.as_deref()), ("Transient failure", Some("mend it")));
    assert!(problem.retry_at_ms.is_some());
    t.reach(State::Running).await;
    assert_eq!(t.lives(), 3);
    t.shutdown.cancel();
    assert_eq!(t.supervisor.await.unwrap(), Outcome::Stopped);
}

#[tokio::test(start_paused = true)]
async fn a_parked_task_waits_for_an_operator() {
    let t = start(POLICY, &[Some(Class::Definite), None]);
    t.reach(State::Parked).await;
    tokio::time::sleep(Duration::from_secs(86_400)).await;
    assert_eq!(t.lives(), 1);
    t.control.resume();
    t.reach(State::Running).await;
    t.shutdown.cancel();
    assert_eq!(t.supervisor.await.unwrap(), Outcome::Stopped);
}

#[tokio::test(start_paused = true)]
async fn a_task_out_of_retries_comes_back_by_itself_a_week_later() {
    let away: &[Option<Class>] = &[Some(Class::Transient)];
    let t = start(POLICY, away);
    t.reach(State::Failed).await;
    let before = t.lives();
    tokio::time::sleep(Duration::from_secs(7 * 86_400)).await;
    let tried = t.lives() - before;
    assert!((10_000..=10_100).contains(&tried), "{tried} tries in a week, one a minute");
    t.shutdown.cancel();
    assert_eq!(t.supervisor.await.unwrap(), Outcome::Stopped);
}

#[tokio::test(start_paused = true)]
async fn status_counts_attempts_and_what_is_left_of_the_window() {
    let away: &[Option<Class>] = &[Some(Class::Transient)];
    let t = start(POLICY, away);
    let mut seen = Vec::new();
    while t.lives() < 6 {
        t.reach(State::Retrying).await;
        let problem = t.status.find("orders").unwrap().task().problem().unwrap();
        seen.push((problem.attempts, problem.window_left_s.expect("a window")));
        // Each life fails as soon as it begins: nobody can count on seeing it start.
        let lives = t.lives();
        while t.lives() == lives {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    assert!(seen.windows(2).all(|w| w[1].0 == w[0].0 + 1 && w[1].1 < w[0].1), "{seen:?}");
    assert!(seen[0] == (1, 720 * 60), "{seen:?}");
    t.reach(State::Failed).await;
    let problem = t.status.find("orders").unwrap().task().problem().unwrap();
    assert!(problem.attempts > 100 && problem.retry_at_ms.is_some(), "{problem:?}");
    t.shutdown.cancel();
    assert_eq!(t.supervisor.await.unwrap(), Outcome::Stopped);
}

#[tokio::test(start_paused = true)]
async fn without_auto_resume_a_failed_task_waits_and_a_resume_opens_a_new_window() {
    let t = start(Policy { auto_resume: false, ..POLICY }, &[Some(Class::Transient)]);
    t.reach(State::Failed).await;
    let tried = t.lives();
    tokio::time::sleep(Duration::from_secs(7 * 86_400)).await;
    assert_eq!(t.lives(), tried, "it waits for an operator");
    t.control.resume();
    t.reach(State::Retrying).await;
    let problem = t.status.find("orders").unwrap().task().problem().unwrap();
    assert_eq!((problem.attempts, problem.window_left_s), (1, Some(720 * 60)));
    t.reach(State::Failed).await;
    t.shutdown.cancel();
    assert_eq!(t.supervisor.await.unwrap(), Outcome::Stopped);
}

#[tokio::test(start_paused = true)]
async fn a_fatal_failure_ends_supervision_with_its_cause() {
    let t = start(POLICY, &[Some(Class::Fatal)]);
    let Outcome::Fatal(cause) = t.supervisor.await.unwrap() else { panic!("it was fatal") };
    assert_eq!(cause.exit, Exit::Source);
}

#[tokio::test(start_paused = true)]
async fn pause_ends_the_life_and_restart_begins_another() {
    let t = start(POLICY, &[None]);
    t.reach(State::Running).await;
    t.control.pause();
    t.reach(State::Paused).await;
    t.control.restart();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(t.lives(), 1, "paused stays paused");
    t.control.resume();
    t.reach(State::Running).await;
    assert_eq!(t.lives(), 2);
    t.control.restart();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(t.lives(), 3);
    t.shutdown.cancel();
    assert_eq!(t.supervisor.await.unwrap(), Outcome::Stopped);
}

#[tokio::test(start_paused = true)]
async fn a_panic_parks_its_own_task_only() {
    let (status, control, shutdown) = (Status::new(), Control::new(false), CancellationToken::new());
    let task = status.delivery("orders").task().clone();
    let s = shutdown.clone();
    let run = {
        let task = task.clone();
        tokio::spawn(async move {
            supervise("orders", &task, || POLICY, &control, &s, |_| async { panic!("bad byte") }).await
        })
    };
    task.watch().wait_for(|s| *s == State::Parked).await.unwrap();
    assert_eq!(task.problem().unwrap().reason, "internal error: bad byte");
    shutdown.cancel();
    assert_eq!(run.await.unwrap(), Outcome::Stopped);
}
