//! A Kubernetes API server as far as the daemons ask one: TokenReviews and Leases, over HTTP on loopback.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

/// Everything awaited takes milliseconds, or a pause of a few seconds; the limit only says when to give up.
const PROMPTLY: Duration = Duration::from_secs(15);
const LEASES: &str = "/apis/coordination.k8s.io/v1/";

/// The server; dropping it ends it.
#[derive(Debug)]
pub(crate) struct FakeApiServer {
    address: SocketAddr,
    secure: bool,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// What the server knows, and what it was asked.
#[derive(Debug, Default)]
pub(crate) struct State {
    tokens: BTreeMap<String, Holder>,
    leases: BTreeMap<LeaseKey, Value>,
    version: u64,
    events: Vec<Event>,
    connections: Vec<TcpStream>,
    away: bool,
    ended: bool,
    /// Every request, in order.
    pub(crate) requests: Vec<Request>,
}

/// Namespace and name.
type LeaseKey = (String, String);

#[derive(Debug)]
struct Event {
    version: u64,
    kind: &'static str,
    lease: Value,
}

/// Who holds a token, and for whom it was made.
#[derive(Clone, Debug)]
struct Holder {
    user: String,
    audience: String,
}

/// What was asked.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// With the query.
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Value,
    /// Whether the client showed a certificate.
    pub(crate) certified: bool,
}

impl State {
    /// How many TokenReviews were asked for.
    pub(crate) fn reviews(&self) -> usize {
        let reviews = self.requests.iter();
        reviews
            .filter(|request| request.path.contains("/tokenreviews"))
            .count()
    }

    /// A Lease, as it was last written.
    pub(crate) fn lease(&self, namespace: &str, name: &str) -> Option<&Value> {
        self.leases.get(&(namespace.to_owned(), name.to_owned()))
    }

    /// The names of all Leases.
    pub(crate) fn leases(&self) -> Vec<&str> {
        self.leases.keys().map(|(_, name)| name.as_str()).collect()
    }

    fn write(&mut self, kind: &'static str, key: LeaseKey, mut lease: Value) -> Value {
        self.version += 1;
        lease["metadata"]["namespace"] = json!(key.0);
        lease["metadata"]["name"] = json!(key.1);
        lease["metadata"]["resourceVersion"] = json!(self.version.to_string());
        lease["apiVersion"] = json!("coordination.k8s.io/v1");
        lease["kind"] = json!("Lease");
        self.events.push(Event {
            version: self.version,
            kind,
            lease: lease.clone(),
        });
        if kind == "DELETED" {
            self.leases.remove(&key);
        } else {
            self.leases.insert(key, lease.clone());
        }
        lease
    }
}

impl FakeApiServer {
    /// One that is asked over plain HTTP.
    pub(crate) fn start() -> Self {
        Self::serve(None)
    }

    /// One that is asked over TLS.
    pub(crate) fn start_tls(config: Arc<ServerConfig>) -> Self {
        Self::serve(Some(config))
    }

    fn serve(tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (shared, secure) = (Arc::new(Shared::default()), tls.is_some());
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            for connection in listener.incoming() {
                let Ok(connection) = connection else { continue };
                let mut state = serving.lock();
                if state.ended {
                    break;
                }
                if state.away {
                    continue;
                }
                state.connections.push(connection.try_clone().unwrap());
                drop(state);
                let (shared, tls) = (Arc::clone(&serving), tls.clone());
                // It ends with its connection, an error included.
                thread::spawn(move || shared.converse(connection, tls));
            }
        });
        Self {
            address,
            secure,
            shared,
        }
    }

    /// A kubeconfig for this server; `cluster` and `user` have further fields, such as CA and credentials.
    pub(crate) fn kubeconfig(&self, mut cluster: Value, user: Value) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        cluster["server"] = json!(format!("{scheme}://{}", self.address));
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "this",
            "contexts": [{"name": "this", "context": {"cluster": "this", "user": "this"}}],
            "clusters": [{"name": "this", "cluster": cluster}],
            "users": [{"name": "this", "user": user}],
        })
        .to_string()
    }

    /// Makes a token good, for an audience.
    pub(crate) fn issue(&self, token: &str, user: &str, audience: &str) {
        let (user, audience) = (user.to_owned(), audience.to_owned());
        let mut state = self.shared.lock();
        state
            .tokens
            .insert(token.to_owned(), Holder { user, audience });
    }

    /// Writes a Lease as some server would.
    pub(crate) fn put_lease(&self, namespace: &str, name: &str, labels: Value, spec: Value) {
        let key = (namespace.to_owned(), name.to_owned());
        let lease = json!({"metadata": {"labels": labels}, "spec": spec});
        let mut state = self.shared.lock();
        let known = state.leases.contains_key(&key);
        state.write(if known { "MODIFIED" } else { "ADDED" }, key, lease);
        self.shared.changed.notify_all();
    }

    /// Deletes a Lease as some server would.
    pub(crate) fn delete_lease(&self, namespace: &str, name: &str) {
        let key = (namespace.to_owned(), name.to_owned());
        let mut state = self.shared.lock();
        let lease = state.leases[&key].clone();
        state.write("DELETED", key, lease);
        self.shared.changed.notify_all();
    }

    /// Cuts every connection, and takes no more.
    pub(crate) fn go_away(&self) {
        let mut state = self.shared.lock();
        state.away = true;
        state.cut();
        self.shared.changed.notify_all();
    }

    /// Takes connections again.
    pub(crate) fn come_back(&self) {
        self.shared.lock().away = false;
    }

    /// What there is, and what was asked so far.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.shared.lock())
    }

    /// Waits until something has come about; `what` says it in words.
    pub(crate) fn until<T>(&self, what: &str, mut look: impl FnMut(&State) -> Option<T>) -> T {
        let deadline = Instant::now() + PROMPTLY;
        let mut state = self.shared.lock();
        loop {
            if let Some(found) = look(&state) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero(),
                "not within {PROMPTLY:?}: {what}; {state:#?}"
            );
            state = self
                .shared
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

impl Drop for FakeApiServer {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.ended = true;
        state.cut();
        drop(state);
        self.shared.changed.notify_all();
        // So that the listener hears of it.
        let _ = TcpStream::connect(self.address);
    }
}

impl State {
    fn cut(&mut self) {
        for connection in self.connections.drain(..) {
            // It may have ended by itself.
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

trait Stream: Read + Write {}
impl<S: Read + Write> Stream for S {}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers requests until the connection ends.
    fn converse(&self, socket: TcpStream, tls: Option<Arc<ServerConfig>>) -> io::Result<()> {
        let mut certified = false;
        let mut stream: Box<dyn Stream> = match tls {
            None => Box::new(socket),
            Some(config) => {
                let session = ServerConnection::new(config).map_err(io::Error::other)?;
                let mut stream = StreamOwned::new(session, socket);
                while stream.conn.is_handshaking() {
                    stream.conn.complete_io(&mut stream.sock)?;
                }
                certified = stream.conn.peer_certificates().is_some();
                Box::new(stream)
            }
        };
        let mut buffer = Vec::new();
        while let Some(request) = read_request(&mut stream, &mut buffer, certified)? {
            let watch = request.path.contains("watch=true");
            let answer = {
                let mut state = self.lock();
                state.requests.push(request.clone());
                let answer = if watch {
                    None
                } else {
                    Some(state.answer(&request))
                };
                self.changed.notify_all();
                answer
            };
            match answer {
                None => return self.watch(&request.path, &mut stream),
                Some((code, body)) => {
                    let body = body.to_string();
                    write!(
                        stream,
                        "HTTP/1.1 {code} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                        body.len()
                    )?;
                    stream.flush()?;
                }
            }
        }
        Ok(())
    }

    /// Tells of every Lease that changes, until the connection is cut.
    fn watch(&self, path: &str, stream: &mut impl Stream) -> io::Result<()> {
        let selector = Selector::from_path(path);
        let mut seen: u64 = parameter(path, "resourceVersion")
            .and_then(|version| version.parse().ok())
            .unwrap_or(0);
        write!(
            stream,
            "HTTP/1.1 200 X\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        )?;
        stream.flush()?;
        loop {
            let lines: Vec<String> = {
                let mut state = self.lock();
                while !state.ended && !state.away && state.version <= seen {
                    state = self
                        .changed
                        .wait(state)
                        .unwrap_or_else(PoisonError::into_inner);
                }
                if state.ended || state.away {
                    return Ok(());
                }
                let news = state.events.iter().filter(|event| event.version > seen);
                let lines = news
                    .filter(|event| selector.selects(&event.lease))
                    .map(|event| json!({"type": event.kind, "object": event.lease}).to_string());
                let lines = lines.collect();
                seen = state.version;
                lines
            };
            for line in lines {
                write!(stream, "{:x}\r\n{line}\n\r\n", line.len() + 1)?;
            }
            stream.flush()?;
        }
    }
}

impl State {
    fn answer(&mut self, request: &Request) -> (u16, Value) {
        let (path, _) = request.path.split_once('?').unwrap_or((&request.path, ""));
        if (request.method.as_str(), path)
            == ("POST", "/apis/authentication.k8s.io/v1/tokenreviews")
        {
            return (201, self.review(&request.body));
        }
        let parts: Vec<&str> = path
            .strip_prefix(LEASES)
            .map(|path| path.split('/').collect())
            .unwrap_or_default();
        match (request.method.as_str(), &parts[..]) {
            ("GET", ["namespaces", namespace, "leases"]) => {
                (200, self.list(Some(namespace), &request.path))
            }
            ("GET", ["leases"]) => (200, self.list(None, &request.path)),
            ("POST", ["namespaces", namespace, "leases"]) => {
                let name = request.body["metadata"]["name"].as_str().unwrap_or("");
                let key = ((*namespace).to_owned(), name.to_owned());
                if self.leases.contains_key(&key) {
                    return failure(409, "AlreadyExists", name);
                }
                (201, self.write("ADDED", key, request.body.clone()))
            }
            (method, ["namespaces", namespace, "leases", name]) => {
                let key = ((*namespace).to_owned(), (*name).to_owned());
                let Some(found) = self.leases.get(&key).cloned() else {
                    return failure(404, "NotFound", name);
                };
                let precondition = match method {
                    "GET" => return (200, found),
                    "PUT" => &request.body["metadata"]["resourceVersion"],
                    "DELETE" => &request.body["preconditions"]["resourceVersion"],
                    _ => return failure(405, "MethodNotAllowed", name),
                };
                if !precondition.is_null() && *precondition != found["metadata"]["resourceVersion"]
                {
                    return failure(409, "Conflict", name);
                }
                if method == "DELETE" {
                    self.write("DELETED", key, found);
                    return (
                        200,
                        json!({"kind": "Status", "apiVersion": "v1", "status": "Success"}),
                    );
                }
                (200, self.write("MODIFIED", key, request.body.clone()))
            }
            _ => failure(404, "NotFound", path),
        }
    }

    /// As kube-apiserver answers about service accounts' tokens.
    fn review(&self, review: &Value) -> Value {
        let wanted = &review["spec"]["audiences"];
        let holder = review["spec"]["token"]
            .as_str()
            .and_then(|token| self.tokens.get(token));
        let status = match holder {
            None => json!({"error": "invalid bearer token", "user": {}}),
            Some(Holder { user, audience }) => {
                if wanted
                    .as_array()
                    .is_some_and(|all| all.contains(&json!(audience)))
                {
                    json!({"authenticated": true, "user": {"username": user}, "audiences": [audience]})
                } else {
                    let error = format!(
                        "[invalid bearer token, token audiences [{audience:?}] is invalid for the target audiences {wanted}]"
                    );
                    json!({"error": error, "user": {}})
                }
            }
        };
        json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "metadata": {},
            "spec": review["spec"], "status": status,
        })
    }

    fn list(&self, namespace: Option<&str>, path: &str) -> Value {
        let selector = Selector::from_path(path);
        let leases = self.leases.iter();
        let items: Vec<&Value> = leases
            .filter(|((found, _), _)| namespace.is_none_or(|namespace| namespace == found))
            .map(|(_, lease)| lease)
            .filter(|lease| selector.selects(lease))
            .collect();
        json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "LeaseList",
            "metadata": {"resourceVersion": self.version.to_string()}, "items": items,
        })
    }
}

fn failure(code: u16, reason: &str, name: &str) -> (u16, Value) {
    let message = format!("leases.coordination.k8s.io {name:?}: {reason}");
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code,
    });
    (code, status)
}

/// Labels that have to be there, each with its value: more is not asked for here.
struct Selector(Vec<(String, String)>);

impl Selector {
    fn from_path(path: &str) -> Self {
        let selector = parameter(path, "labelSelector").unwrap_or_default();
        let pairs = selector.split(',').filter_map(|pair| pair.split_once('='));
        Self(
            pairs
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
        )
    }

    fn selects(&self, lease: &Value) -> bool {
        let labels = &lease["metadata"]["labels"];
        self.0
            .iter()
            .all(|(key, value)| labels[key] == json!(value))
    }
}

/// A parameter of the query, decoded.
fn parameter(path: &str, name: &str) -> Option<String> {
    let (_, query) = path.split_once('?')?;
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(key, _)| *key == name)?;
    let decoded = [("%3D", "="), ("%2C", ","), ("%2F", "/")];
    let mut value = value.to_owned();
    for (code, character) in decoded {
        value = value.replace(code, character);
    }
    Some(value)
}

/// The next request; `None` at the connection's end.
fn read_request(
    stream: &mut impl Read,
    buffer: &mut Vec<u8>,
    certified: bool,
) -> io::Result<Option<Request>> {
    loop {
        if let Some((mut request, head, length)) = parse_head(buffer)?
            && buffer.len() >= head + length
        {
            let body = &buffer[head..head + length];
            if !body.is_empty() {
                request.body = serde_json::from_slice(body)?;
            }
            request.certified = certified;
            buffer.drain(..head + length);
            return Ok(Some(request));
        }
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk)? {
            0 => return Ok(None),
            read => buffer.extend_from_slice(&chunk[..read]),
        }
    }
}

/// A request without its body, and the lengths of its head and its body; `None` when more has to come.
fn parse_head(buffer: &[u8]) -> io::Result<Option<(Request, usize, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut parsed = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(head) = parsed.parse(buffer).map_err(io::Error::other)? else {
        return Ok(None);
    };
    let headers: BTreeMap<String, String> = parsed
        .headers
        .iter()
        .map(|header| {
            let value = String::from_utf8_lossy(header.value);
            (header.name.to_lowercase(), value.into_owned())
        })
        .collect();
    let length = headers
        .get("content-length")
        .map_or(Ok(0), |length| length.parse().map_err(io::Error::other))?;
    let request = Request {
        method: parsed.method.unwrap_or_default().to_owned(),
        path: parsed.path.unwrap_or_default().to_owned(),
        headers,
        body: Value::Null,
        certified: false,
    };
    Ok(Some((request, head, length)))
}
