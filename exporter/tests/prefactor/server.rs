//! A server of Prefactor's API that remembers all it was told, says what should not have come, and fails as it likes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Map, Value as Json, json};
use spanring_exporter::demo::receiver::{Answer, Received, Receiver};

use crate::Random;

/// What the server has seen.
#[derive(Default)]
pub(crate) struct Server {
    pub(crate) random: Random,
    pub(crate) fails: bool,
    /// The spans that it never takes, by their number; none has none.
    pub(crate) poisoned: BTreeSet<Option<u64>>,
    /// Which registrations it never takes.
    pub(crate) refuses: Refused,
    /// By idempotency key: the request, and what was answered.
    pub(crate) answered: HashMap<String, (String, Json, Json)>,
    /// The instances, in the order in which they were registered.
    pub(crate) instances: Vec<Instance>,
    /// The spans, in the order in which they were created, as they are now.
    pub(crate) spans: Vec<Json>,
    /// How often each span was finished, by its identity.
    pub(crate) finished: BTreeMap<String, usize>,
    /// How it takes bulk requests.
    pub(crate) bulk: Bulk,
    /// How many items each of those had that it took.
    pub(crate) bulks: Vec<usize>,
    /// How long each answer takes, where it has one.
    pub(crate) delay: Duration,
    /// When requests about spans came that were sent by themselves.
    pub(crate) arrivals: Vec<Instant>,
    /// The spans of which it does not say that they are there, by their number.
    pub(crate) silent: BTreeSet<u64>,
    /// What it makes of an instance that is registered again with other schemas.
    pub(crate) again: Again,
    /// How often it was asked to register an instance.
    pub(crate) registrations: usize,
    /// What it says beside in answers about spans.
    pub(crate) control: Option<Json>,
    /// What should not have come.
    pub(crate) wrong: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Refused {
    #[default]
    None,
    /// Those with a type that is more than an open object.
    Schemas,
    All,
}

#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Again {
    /// The same, with another version of its schemas.
    #[default]
    Version,
    /// Another instance.
    Instance,
    /// Nothing: it says that there is one.
    Nothing,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Bulk {
    #[default]
    Taken,
    /// With so many items at most: else it answers 413.
    AtMost(usize),
    /// It answers this, whatever is sent.
    Status(u16),
    /// It acts, and names no outputs, or none of an item.
    SaysNothing { has_outputs: bool },
    /// It acts, and does not say what is called how.
    NamesNothing,
}

pub(crate) struct Instance {
    pub(crate) registered: Json,
    pub(crate) status: String,
    /// What was recorded of its quality, in order.
    pub(crate) quality: Vec<(String, Json)>,
}

impl Server {
    fn answer(&mut self, received: &Received) -> Answer {
        let body: Json = serde_json::from_slice(&received.body).unwrap();
        let path = received.path.strip_prefix("/base/api/v1/").unwrap_or_default();
        self.check(received.method == "POST" && !path.is_empty(), || received.path.clone());
        self.check(received.header("authorization") == Some("Bearer secret"), || "no token".to_owned());
        self.check(received.header("content-type") == Some("application/json"), || "no JSON".to_owned());
        let sdk = concat!("spanring@", env!("CARGO_PKG_VERSION"));
        self.check(received.header("x-prefactor-sdk") == Some(sdk), || "no SDK".to_owned());
        if path.starts_with("agent_spans") {
            self.arrivals.push(Instant::now());
        }
        if self.fails {
            match self.random.below(40) {
                0 => return Answer::status(500),
                1 => return Answer { headers: vec![("retry-after", "0".to_owned())], ..Answer::status(429) },
                2 => return Answer::broken(),
                3 => return Answer { delay: Duration::from_millis(5), ..Answer::status(503) },
                // The token is not known for a while: this exporter asks no more, and the next one does.
                4 if self.random.below(10) == 0 => return Answer::status(401),
                _ => {}
            }
        }
        if path == "bulk" {
            return self.answer_bulk(&body);
        }
        self.registrations += usize::from(path == "agent_instance/register");
        let is_silent = number(&body["details"]).is_some_and(|number| self.silent.contains(&number));
        let answer = self.act_once(path, body);
        // It has acted, and the exporter may not learn it.
        if is_silent || self.fails && self.random.below(40) == 0 {
            return Answer::broken();
        }
        match answer {
            Ok(details) => {
                let mut body = json!({"status": "success", "details": details});
                if let Some(control) = self.control.as_ref().filter(|_| path.starts_with("agent_spans")) {
                    body["control"] = control.clone();
                }
                Answer { body: body.to_string().into_bytes(), delay: self.delay, ..Answer::status(200) }
            }
            Err(status) => {
                let body = json!({"status": "error", "code": "invalid_action", "message": "no"}).to_string();
                Answer { body: body.into_bytes(), ..Answer::status(status) }
            }
        }
    }

    /// Does one item after the other, up to the first that fails.
    fn answer_bulk(&mut self, body: &Json) -> Answer {
        let items = body["items"].as_array().unwrap();
        match self.bulk {
            Bulk::AtMost(max) if items.len() > max => return Answer::status(413),
            Bulk::Status(status) => return Answer::status(status),
            _ => self.bulks.push(items.len()),
        }
        let keys: BTreeSet<_> = items.iter().map(|item| item["idempotency_key"].as_str()).collect();
        self.check((1..=100).contains(&items.len()) && keys.len() == items.len(), || format!("{body}"));
        let mut outputs = Map::new();
        for item in items {
            if self.fails && self.random.below(100) == 0 {
                return Answer::broken();
            }
            let mut item = item.as_object().unwrap().clone();
            let mut take = |key: &str| item.remove(key).map(|value| value.as_str().unwrap().to_owned());
            let (kind, method, path) =
                (take("_type").unwrap(), take("method").unwrap(), take("path").unwrap());
            let (span, key) = (take("agent_span_id"), item["idempotency_key"].as_str().unwrap().to_owned());
            let is_right = match &span {
                None => (&*kind, &*path) == ("agent_spans/create", "/api/v1/agent_spans"),
                Some(id) => {
                    let finish = format!("/api/v1/agent_spans/{}/finish", id.replace(' ', "%20"));
                    kind == "agent_spans/finish" && path == finish && !item.contains_key("details")
                }
            };
            self.check(is_right && method == "POST", || format!("{kind} to {path} of {span:?}"));
            let done = self.act_once(path.strip_prefix("/api/v1/").unwrap_or_default(), Json::Object(item));
            let Ok(details) = done else {
                let error = json!({"status": "error", "code": "any_code", "message": "no"});
                outputs.insert(key, error);
                break;
            };
            // It has acted, and says so, unless it is out of its mind.
            let output = match self.fails && self.random.below(100) == 0 {
                true => Json::Null,
                false if span.is_some() || self.bulk == Bulk::NamesNothing => json!({"status": "success"}),
                false => json!({"status": "success", "details": details}),
            };
            outputs.insert(key, output);
        }
        if self.fails && self.random.below(20) == 0 {
            return Answer::broken();
        }
        let mut body = json!({"status": "success", "outputs": outputs});
        match self.bulk {
            Bulk::SaysNothing { has_outputs: true } => body["outputs"] = json!({}),
            Bulk::SaysNothing { has_outputs: false } => body = json!({"status": "success"}),
            _ => {}
        }
        let body = body.to_string().into_bytes();
        Answer { body, delay: self.delay, ..Answer::status(200) }
    }

    /// Acts, unless it has seen the key: then it answers as before.
    fn act_once(&mut self, path: &str, mut body: Json) -> Result<Json, u16> {
        // The key may stand in either place.
        let within = body["details"].as_object_mut().and_then(|details| details.remove("idempotency_key"));
        if let Some(key) = within {
            self.check(body.get("idempotency_key").is_none(), || format!("{body} has two keys"));
            body["idempotency_key"] = key;
        }
        let key = body["idempotency_key"].as_str().unwrap_or_default().to_owned();
        self.check((8..=64).contains(&key.len()), || format!("the key {key:?}"));
        match self.answered.get(&key) {
            Some((path_before, before, answer)) => {
                let (is_same, answer) = (path_before == path && *before == body, answer.clone());
                self.check(is_same, || format!("{key} comes with {body}"));
                Ok(answer)
            }
            None => self.act(path, &body).inspect(|answer| {
                drop(self.answered.insert(key, (path.to_owned(), body.clone(), answer.clone())));
            }),
        }
    }

    fn act(&mut self, path: &str, body: &Json) -> Result<Json, u16> {
        match path.split('/').collect::<Vec<_>>()[..] {
            ["agent_instance", "register"] if self.refuses(body) => Err(422),
            ["agent_instance", "register"] => {
                let registered = body.clone();
                let name = |of: &Json| of["external_identifier"].clone();
                let there =
                    self.instances.iter().position(|instance| name(&instance.registered) == name(body));
                match (there, self.again) {
                    (Some(at), Again::Version) => {
                        self.instances[at].registered = registered;
                        return Ok(json!({"id": format!("instance {}", at + 1)}));
                    }
                    (Some(_), Again::Nothing) => return Err(409),
                    _ => {}
                }
                self.instances.push(Instance {
                    registered,
                    status: "pending".to_owned(),
                    quality: Vec::new(),
                });
                Ok(json!({"id": format!("instance {}", self.instances.len())}))
            }
            ["agent_instance", id, operation] => {
                let id = id.replace("%20", " ");
                let at: usize = id.strip_prefix("instance ").and_then(|at| at.parse().ok()).unwrap();
                if operation == "record_quality" {
                    return self.record_quality(at, body);
                }
                let instance = &mut self.instances[at - 1];
                match (operation, instance.status.as_str()) {
                    ("start", "pending") => instance.status = "active".to_owned(),
                    ("finish", "active") => instance.status = body["status"].as_str().unwrap().to_owned(),
                    _ => return Err(409),
                }
                Ok(json!({ "id": id }))
            }
            ["agent_spans"] => self.create(&body["details"]),
            ["agent_spans", id, "finish"] => {
                let id = id.replace("%20", " ");
                *self.finished.entry(id.clone()).or_default() += 1;
                let span = self.spans.iter_mut().find(|span| span["id"] == id).unwrap();
                if span["status"] != "pending" && span["status"] != "active" {
                    return Err(409);
                }
                for key in ["status", "result_payload"] {
                    span[key] = body[key].clone();
                }
                Ok(span.clone())
            }
            _ => Err(404),
        }
    }

    /// Those of the name `bad` are refused.
    fn record_quality(&mut self, at: usize, body: &Json) -> Result<Json, u16> {
        let name = body["name"].as_str().unwrap().to_owned();
        self.check(body.get("payload").is_some(), || format!("{body} says no payload"));
        if name == "bad" {
            return Err(422);
        }
        let is_active = self.instances[at - 1].status == "active";
        self.check(is_active, || format!("{body} is of no active instance"));
        self.instances[at - 1].quality.push((name, body["payload"].clone()));
        Ok(json!({"id": format!("instance {at}")}))
    }

    fn refuses(&self, registration: &Json) -> bool {
        let open = json!({"type": "object", "additionalProperties": true});
        let types = registration["agent_schema_version"]["span_type_schemas"].as_array().unwrap();
        let is_open = |declared: &Json| {
            *declared == json!({"name": declared["name"], "params_schema": open, "result_schema": open})
        };
        self.refuses == Refused::All || self.refuses == Refused::Schemas && !types.iter().all(is_open)
    }

    fn create(&mut self, details: &Json) -> Result<Json, u16> {
        if self.poisoned.contains(&number(details)) {
            return Err(422);
        }
        let is_known = |at: usize| details["agent_instance_id"] == format!("instance {at}");
        let at = (1..=self.instances.len()).find(|at| is_known(*at));
        self.check(at.is_some_and(|at| self.instances[at - 1].status == "active"), || {
            format!("{details} is of no active instance")
        });
        let declared = |at: usize| {
            let schema = &self.instances[at - 1].registered["agent_schema_version"];
            let types = schema["span_type_schemas"].as_array().unwrap();
            types.iter().any(|declared| declared["name"] == details["schema_name"])
        };
        self.check(at.is_some_and(declared), || format!("{} is not declared", details["schema_name"]));
        let parent = &details["parent_span_id"];
        let is_there = parent.is_null() || self.spans.iter().any(|span| span["id"] == *parent);
        self.check(is_there, || format!("{details} comes before its parent"));
        let mut span = details.clone();
        span["id"] = format!("span {}", self.spans.len() + 1).into();
        self.spans.push(span.clone());
        Ok(span)
    }

    fn check(&mut self, is_right: bool, what: impl FnOnce() -> String) {
        if !is_right {
            self.wrong.push(what());
        }
    }
}

pub(crate) fn number(details: &Json) -> Option<u64> {
    details["payload"]["metadata"]["number"].as_u64()
}

pub(crate) fn start(server: Server) -> (Receiver, String, Arc<Mutex<Server>>) {
    let server = Arc::new(Mutex::new(server));
    let asked = Arc::clone(&server);
    let receiver = Receiver::start(move |received| {
        asked.lock().unwrap_or_else(PoisonError::into_inner).answer(&received)
    });
    let receiver = receiver.unwrap();
    let sink = format!("prefactor+http://{}/base", receiver.address());
    (receiver, sink, server)
}

/// The server's spans by their names.
pub(crate) fn named(server: &Server) -> BTreeMap<String, Json> {
    let name = |span: &Json| span["payload"]["metadata"]["name"].as_str().unwrap().to_owned();
    server.spans.iter().map(|span| (name(span), span.clone())).collect()
}

pub(crate) fn status(server: &Mutex<Server>, name: &str) -> Option<String> {
    let span = named(&server.lock().unwrap()).remove(name)?;
    Some(span["status"].as_str().unwrap().to_owned())
}
