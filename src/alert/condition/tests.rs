use super::*;
use crate::config::Span;

fn task(delivery: Option<&str>, state: State) -> Observation {
    let settings = Alert { webhook: Some(Webhook::parse("https://h/a").expect("an address")), ..Alert::default() };
    Observation {
        delivery: delivery.map(str::to_owned),
        settings,
        state,
        ran_for: if state == State::Running { Duration::from_secs(60) } else { Duration::ZERO },
        problem: None,
        parked: Vec::new(),
        exceptions: Vec::new(),
        grown: Vec::new(),
        lag_seconds: Some(0.0),
        headroom_seconds: None,
        capture: None,
    }
}

fn problem(reason: &str) -> Option<Problem> {
    Some(Problem {
        reason: reason.to_owned(),
        next_step: Some("mend it".to_owned()),
        attempts: 1,
        since_ms: 0,
        retry_at_ms: None,
        window_left_s: None,
        class: None,
    })
}

struct Lab {
    conditions: Conditions,
    start: Instant,
}

impl Lab {
    fn new() -> Self {
        Self { conditions: Conditions::default(), start: Instant::now() }
    }

    fn notices(&mut self, at: u64, tasks: &[Observation]) -> Vec<Notice> {
        let sender = Sender { name: "shop".to_owned(), environment: "prod".to_owned() };
        let now = self.start + Duration::from_secs(at);
        let now_ms = 1_767_225_600_000 + at as i64 * 1000;
        self.conditions.look(now, now_ms, &sender, tasks).into_iter().map(|(_, notice)| notice).collect()
    }

    fn look(&mut self, at: u64, tasks: &[Observation]) -> Vec<(Kind, Change)> {
        self.notices(at, tasks).into_iter().map(|n| (n.alert, n.change)).collect()
    }
}

#[test]
fn a_parked_delivery_is_told_once_repeated_and_then_over() {
    let mut lab = Lab::new();
    let parked = Observation { problem: problem("no topic"), ..task(Some("orders"), State::Parked) };
    let notices = lab.notices(0, std::slice::from_ref(&parked));
    let [notice] = &notices[..] else { panic!("{notices:?}") };
    let json: serde_json::Value = serde_json::to_value(notice).expect("JSON");
    assert_eq!(
        json,
        serde_json::json!({
            "text": "relay shop (prod): delivery orders: parked: no topic; next: mend it",
            "name": "shop", "environment": "prod", "delivery": "orders", "alert": "parked", "change": "raised",
            "state": "parked", "reason": "no topic", "value": null, "threshold": null,
            "since": "2026-01-01T00:00:00Z", "time": "2026-01-01T00:00:00Z", "next_step": "mend it",
        })
    );
    assert_eq!(lab.look(3599, std::slice::from_ref(&parked)), []);
    assert_eq!(lab.look(3600, std::slice::from_ref(&parked)), [(Kind::Parked, Change::Lasting)]);
    assert_eq!(lab.look(3601, std::slice::from_ref(&parked)), []);
    assert_eq!(lab.look(3700, &[task(Some("orders"), State::Starting)]), [], "it tries; that is no news");
    assert_eq!(lab.look(3701, &[task(Some("orders"), State::Running)]), [(Kind::Parked, Change::Normal)]);
    assert_eq!(lab.look(3702, &[task(Some("orders"), State::Running)]), []);
}

#[test]
fn a_task_that_tries_again_every_minute_stays_failed_until_it_runs_well() {
    let mut lab = Lab::new();
    let failed = Observation { problem: problem("away"), ..task(None, State::Failed) };
    assert_eq!(lab.look(0, std::slice::from_ref(&failed)), [(Kind::Failed, Change::Raised)]);
    for at in 1..10 {
        let trying = Observation { ran_for: Duration::from_secs(3), ..task(None, State::Running) };
        assert_eq!(lab.look(at * 60, &[trying]), [], "a moment of running is not well");
        assert_eq!(lab.look(at * 60 + 1, std::slice::from_ref(&failed)), []);
    }
    assert_eq!(lab.look(700, &[task(None, State::Running)]), [(Kind::Failed, Change::Normal)]);
}

#[test]
fn one_that_is_parked_after_it_failed_has_failed_no_longer() {
    let mut lab = Lab::new();
    lab.look(0, &[task(Some("a"), State::Failed)]);
    let changes = lab.look(1, &[task(Some("a"), State::Parked)]);
    assert_eq!(changes, [(Kind::Failed, Change::Normal), (Kind::Parked, Change::Raised)]);
    assert_eq!(lab.look(2, &[task(Some("a"), State::Paused)]), [(Kind::Parked, Change::Normal)]);
}

#[test]
fn a_table_is_an_alert_of_its_own() {
    let mut lab = Lab::new();
    let tables = |names: &[&str]| Observation {
        parked: names.iter().map(|t| ((*t).to_owned(), "bad".to_owned())).collect(),
        ..task(Some("a"), State::Running)
    };
    let notices = lab.notices(0, &[tables(&["s.x", "s.y"])]);
    assert_eq!(notices.iter().map(|n| n.table.as_deref()).collect::<Vec<_>>(), [Some("s.x"), Some("s.y")]);
    assert!(notices[0].next_step.as_deref().is_some_and(|step| step.contains("release a --table s.x")));
    let notices = lab.notices(1, &[tables(&["s.y"])]);
    assert_eq!(notices.len(), 1, "{notices:?}");
    assert_eq!((notices[0].change, notices[0].table.as_deref()), (Change::Normal, Some("s.x")));
}

#[test]
fn thresholds_raise_at_once_and_are_over_after_a_calm_while() {
    let mut lab = Lab::new();
    let at = |lag: f64, headroom: Option<f64>| Observation {
        lag_seconds: Some(lag),
        headroom_seconds: headroom,
        ..task(Some("a"), State::Running)
    };
    assert_eq!(lab.look(0, &[at(60.0, Some(86_400.0))]), [], "at the threshold is not beyond it");
    let notices = lab.notices(1, &[at(61.25, Some(100.0))]);
    assert_eq!(notices.iter().map(|n| n.alert).collect::<Vec<_>>(), [Kind::Latency, Kind::Headroom]);
    assert_eq!((notices[0].value, notices[0].threshold), (Some(61.25), Some(60.0)));
    assert_eq!((notices[1].value, notices[1].threshold), (Some(100.0), Some(86_400.0)));
    assert_eq!(lab.look(2, &[at(1.0, None)]), []);
    assert_eq!(lab.look(5, &[at(80.0, None)]), [], "it hovers");
    assert_eq!(lab.look(6, &[at(1.0, None)]), []);
    assert_eq!(lab.look(12, &[at(1.0, None)]), [(Kind::Headroom, Change::Normal)]);
    assert_eq!(lab.look(16, &[at(1.0, None)]), [(Kind::Latency, Change::Normal)]);
}

#[test]
fn latency_says_what_holds_it_up_and_a_threshold_of_zero_is_none() {
    let mut lab = Lab::new();
    let behind =
        Observation { lag_seconds: Some(90.0), capture: problem("source away"), ..task(Some("a"), State::Running) };
    let notices = lab.notices(0, std::slice::from_ref(&behind));
    assert_eq!(notices[0].reason, "90 s behind the source; capture: source away");
    let mut off = behind;
    off.settings.latency = Span::seconds(0);
    assert_eq!(lab.look(1, &[off]), [(Kind::Latency, Change::Normal)]);
}

#[test]
fn what_leaves_the_config_is_over_and_a_new_address_hears_of_what_lasts() {
    let mut lab = Lab::new();
    let (a, b) = (task(Some("a"), State::Parked), task(Some("b"), State::Parked));
    lab.look(0, &[a.clone(), b.clone()]);
    let raised: Vec<_> = lab.conditions.raised().collect();
    assert_eq!(raised, [("delivery/a".to_owned(), "parked", 1), ("delivery/b".to_owned(), "parked", 1)]);
    let notices = lab.notices(1, std::slice::from_ref(&a));
    assert_eq!(notices.len(), 1);
    assert_eq!((notices[0].delivery.as_deref(), notices[0].change), (Some("b"), Change::Normal));
    let mut moved = a.clone();
    moved.settings.webhook = Some(Webhook::parse("https://other/").expect("an address"));
    assert_eq!(lab.look(2, &[moved]), [(Kind::Parked, Change::Raised)]);
    let mut silent = a;
    silent.settings.webhook = None;
    assert_eq!(lab.look(3, &[silent]), []);
    assert_eq!(lab.conditions.raised().count(), 0);
}

#[test]
fn rows_that_a_topic_lacks_are_told_by_table_until_no_more_came_for_a_while() {
    let mut lab = Lab::new();
    let exception = |table: &str, fate, at_s: i64| Exception {
        table: table.to_owned(),
        fate,
        records: 3,
        first: "7:0".to_owned(),
        last: "9:1".to_owned(),
        key: String::new(),
        reason: "5000 bytes, 4000 are allowed".to_owned(),
        last_ms: 1_767_225_600_000 + at_s * 1000,
    };
    let with = |exceptions: Vec<Exception>| Observation { exceptions, ..task(Some("orders"), State::Running) };
    let truncated = exception("shop.a", Fate::Truncated, 0);
    assert!(lab.look(0, &[with(vec![truncated.clone()])]).is_empty(), "the row arrived");
    let skipped = with(vec![truncated, exception("shop.b", Fate::Skipped, 0)]);
    let notices = lab.notices(1, std::slice::from_ref(&skipped));
    let [notice] = &notices[..] else { panic!("{notices:?}") };
    assert_eq!((notice.alert, notice.change, notice.table.as_deref()), (Kind::Gap, Change::Raised, Some("shop.b")));
    assert!(notice.text.contains("3 rows skipped") && notice.text.contains("seq 9:1"), "{notice:?}");
    assert!(lab.look(2, std::slice::from_ref(&skipped)).is_empty());
    let more = with(vec![exception("shop.b", Fate::DeadLetter, 500)]);
    assert!(lab.look(700, std::slice::from_ref(&more)).is_empty(), "another one came");
    assert_eq!(lab.look(1200, &[more]), [(Kind::Gap, Change::Normal)]);
}

#[test]
fn a_topic_that_has_grown_is_told_until_its_width_is_accepted() {
    let mut lab = Lab::new();
    let with = |partitions: &[(&str, u32)]| {
        let grown = partitions.iter().map(|(topic, partitions)| TopicWidth {
            topic: (*topic).to_owned(),
            used: 3,
            partitions: *partitions,
        });
        Observation { grown: grown.collect(), ..task(Some("orders"), State::Running) }
    };
    let notices = lab.notices(0, &[with(&[("a", 6), ("b", 9)])]);
    let [notice] = &notices[..] else { panic!("{notices:?}") };
    assert_eq!((notice.alert, notice.change), (Kind::Partitions, Change::Raised));
    assert!(notice.text.contains("topic a has 6 partitions, 3 of them are used, and 1 more"), "{notice:?}");
    assert!(notice.next_step.as_ref().is_some_and(|step| step.contains("accept_partition_change")));
    assert_eq!(lab.look(1, &[with(&[])]), [(Kind::Partitions, Change::Normal)]);
}
