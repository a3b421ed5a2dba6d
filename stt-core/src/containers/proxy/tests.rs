//! The proxy in front of an engine that is made up.

use std::io::Read as _;
use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use super::*;

/// An engine that does with each connection what it is told to, and counts them.
struct Fake {
    connections: Arc<AtomicUsize>,
    notified: Arc<Mutex<Vec<String>>>,
    proxy: Option<Proxy>,
    _dir: tempfile::TempDir,
}

fn start(serve: impl Fn(UnixStream) + Clone + Send + 'static) -> Fake {
    let held = tempfile::tempdir().unwrap();
    let dir = Utf8PathBuf::from_path_buf(held.path().to_owned()).unwrap();
    let path = dir.join("engine.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&connections);
    thread::spawn(move || {
        for stream in listener.incoming() {
            counter.fetch_add(1, Ordering::SeqCst);
            let serve = serve.clone();
            thread::spawn(move || serve(stream.unwrap()));
        }
    });
    let engine = Engine {
        host: Host::Unix(path),
        variables: &["DOCKER_HOST"],
    };
    let notified = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&notified);
    let notify: Notify = Box::new(move |address| told.lock().unwrap().push(address.to_string()));
    let run = RunId::from_random([7; 16]);
    Fake {
        connections,
        notified,
        proxy: Some(Proxy::start(&dir, 2, 8, engine, &run, notify).unwrap()),
        _dir: held,
    }
}

impl Fake {
    fn desk(&self) -> &Desk {
        self.proxy.as_ref().unwrap().desk(1).unwrap()
    }

    fn connect(&self) -> UnixStream {
        UnixStream::connect(self.desk().path()).unwrap()
    }
}

/// Reads a whole request, answers, and closes.
fn answer(mut stream: UnixStream) {
    let mut seen = Vec::new();
    let mut piece = [0; 1024];
    while !seen.ends_with(b"}") && !seen.ends_with(b"\r\n\r\n") {
        let count = stream.read(&mut piece).unwrap();
        if count == 0 {
            return;
        }
        seen.extend_from_slice(&piece[..count]);
    }
    // A client that is gone is no matter here.
    drop(write!(stream, "HTTP/1.1 200 OK\r\n\r\n").and_then(|()| stream.write_all(&seen)));
}

fn exchange(fake: &Fake, request: &str) -> String {
    let mut client = fake.connect();
    client.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    answer
}

const CREATE: &str = "POST /containers/create HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}";

#[test]
fn nothing_is_contacted_before_a_request_and_nobody_told_before_something_is_made() {
    let fake = start(answer);
    let clock = Clock::start();
    let budget = Duration::from_secs(5);
    fake.desk().begin("app t".to_owned());
    drop(fake.connect());
    assert!(!fake.desk().end(&clock, budget));
    assert_eq!(fake.connections.load(Ordering::SeqCst), 0);
    let seen = exchange(&fake, "GET /_ping HTTP/1.1\r\n\r\n");
    assert_eq!(
        seen,
        "HTTP/1.1 200 OK\r\n\r\nGET /_ping HTTP/1.1\r\nConnection: close\r\n\r\n"
    );
    assert!(!fake.desk().end(&clock, budget));
    assert_eq!(fake.proxy.as_ref().unwrap().engine(), None);
    let seen = exchange(&fake, CREATE);
    let label =
        "{\"Labels\":{\"dev.cargo-stt.run.07070707-0707-4707-8707-070707070707\":\"app t\"}}";
    assert!(seen.ends_with(label), "{seen}");
    assert!(fake.desk().end(&clock, budget));
    let engine = fake.proxy.as_ref().unwrap().engine().unwrap().to_string();
    assert_eq!(*fake.notified.lock().unwrap(), [engine]);
    fake.desk().begin("app u".to_owned());
    assert!(!fake.desk().end(&clock, budget));
}

/// A client that waits to be told so sends its body then, and of its chunks becomes one body.
#[test]
fn who_waits_for_an_invitation_gets_it() {
    let fake = start(answer);
    let mut client = fake.connect();
    let head = "POST /containers/create HTTP/1.1\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n";
    client.write_all(head.as_bytes()).unwrap();
    let mut told = [0; 25];
    client.read_exact(&mut told).unwrap();
    assert_eq!(&told, b"HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(fake.connections.load(Ordering::SeqCst), 0);
    client.write_all(b"1\r\n{\r\n1\r\n}\r\n0\r\n\r\n").unwrap();
    let mut seen = String::new();
    client.read_to_string(&mut seen).unwrap();
    let (head, body) = seen.rsplit_once("\r\n\r\n").unwrap();
    assert!(
        body.starts_with("{\"Labels\":{\"dev.cargo-stt.run."),
        "{seen}"
    );
    let length = format!("Content-Length: {}\r\nConnection: close", body.len());
    assert!(
        head.ends_with(&length) && !head.contains("Expect"),
        "{seen}"
    );
}

/// A client that dies after its request is answered for: the slot waits until the engine has answered.
#[test]
fn what_a_dead_client_has_asked_for_is_waited_for() {
    let (go, gone) = std::sync::mpsc::channel::<()>();
    let gone = Arc::new(Mutex::new(gone));
    let fake = start(move |stream| {
        let _ = gone.lock().unwrap().recv_timeout(Duration::from_secs(20));
        answer(stream);
    });
    let clock = Clock::start();
    fake.desk().begin("app t".to_owned());
    let mut client = fake.connect();
    client.write_all(CREATE.as_bytes()).unwrap();
    drop(client);
    let before = clock.now();
    assert!(
        fake.desk().end(&clock, Duration::from_millis(150)),
        "it is made"
    );
    assert!(clock.now().saturating_sub(before) >= Duration::from_millis(150));
    go.send(()).unwrap();
    assert!(fake.desk().end(&clock, Duration::from_secs(20)));
    assert!(
        clock.now() < Duration::from_secs(10),
        "the answer was not seen"
    );
}

/// An engine that builds learns that its client is gone, and is waited for until it has put everything away.
#[test]
fn an_engine_that_builds_for_a_dead_client_is_waited_for() {
    let (tell, told) = std::sync::mpsc::channel();
    let (go, gone) = std::sync::mpsc::channel::<()>();
    let (tell, gone) = (Arc::new(Mutex::new(tell)), Arc::new(Mutex::new(gone)));
    let fake = start(move |mut stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        let mut seen = String::new();
        stream.read_to_string(&mut seen).unwrap();
        tell.lock().unwrap().send(seen).unwrap();
        let _ = gone.lock().unwrap().recv_timeout(Duration::from_secs(20));
    });
    let clock = Clock::start();
    fake.desk().begin("app t".to_owned());
    let mut client = fake.connect();
    client
        .write_all(b"POST /build?t=x HTTP/1.1\r\nContent-Length: 4\r\n\r\n1234")
        .unwrap();
    client.read_exact(&mut [0; 19]).unwrap();
    drop(client);
    let seen = told.recv_timeout(Duration::from_secs(20)).unwrap();
    assert!(
        seen.contains("&forcerm=1 HTTP/1.1\r\n") && seen.ends_with("\r\n1234"),
        "{seen}"
    );
    let before = clock.now();
    let made = fake.desk().end(&clock, Duration::from_millis(150));
    assert!(!made, "an image is nothing to be removed");
    assert!(clock.now().saturating_sub(before) >= Duration::from_millis(150));
    go.send(()).unwrap();
    fake.desk().end(&clock, Duration::from_secs(20));
    assert!(
        clock.now() < Duration::from_secs(10),
        "the end was not seen"
    );
    assert_eq!(fake.proxy.as_ref().unwrap().engine(), None);
}

/// Both directions of an upgraded connection flow by themselves, and each ends by itself.
#[test]
fn a_stream_is_passed_on_byte_for_byte_also_when_it_is_half_closed() {
    let fake = start(|mut stream| {
        let mut head = [0; 128];
        let count = stream.read(&mut head).unwrap();
        assert!(head[..count].starts_with(b"POST /exec/x/start"));
        stream.write_all(b"HTTP/1.1 101 UPGRADED\r\n\r\n").unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        all.reverse();
        stream.write_all(&all).unwrap();
    });
    let mut client = fake.connect();
    client
        .write_all(b"POST /exec/x/start HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
        .unwrap();
    let mut head = [0; 25];
    client.read_exact(&mut head).unwrap();
    let sent: Vec<u8> = (0..20_000_000_u32).map(|n| (n % 251) as u8).collect();
    let mut writer = client.try_clone().unwrap();
    let copy = sent.clone();
    let writing = thread::spawn(move || {
        writer.write_all(&copy).unwrap();
        writer.shutdown(std::net::Shutdown::Write).unwrap();
    });
    let mut back = Vec::new();
    client.read_to_end(&mut back).unwrap();
    writing.join().unwrap();
    back.reverse();
    assert!(back == sent, "{} of {} bytes", back.len(), sent.len());
}

#[test]
fn an_engine_that_is_not_there_is_said_to_the_client() {
    let fake = start(answer);
    let path = fake.desk().path().with_file_name("engine.sock");
    fs_err::remove_file(path).unwrap();
    let seen = exchange(&fake, CREATE);
    assert!(
        seen.starts_with("HTTP/1.1 502 ") && seen.contains("can't be reached"),
        "{seen}"
    );
    fake.desk().end(&Clock::start(), Duration::from_secs(5));
}

/// The engine closes an attached stream when its client is gone without a word.
#[test]
fn the_engine_learns_that_a_client_is_gone() {
    let (tell, told) = std::sync::mpsc::channel();
    let tell = Arc::new(Mutex::new(tell));
    let fake = start(move |mut stream| {
        let mut bytes = Vec::new();
        drop(stream.read_to_end(&mut bytes));
        tell.lock().unwrap().send(bytes).unwrap();
    });
    let request = b"POST /containers/x/attach HTTP/1.1\r\nUpgrade: tcp\r\n\r\n";
    let mut client = fake.connect();
    client.write_all(request).unwrap();
    drop(client);
    assert_eq!(told.recv_timeout(Duration::from_secs(20)).unwrap(), request);
}

#[test]
fn with_the_proxy_its_sockets_go() {
    let mut fake = start(answer);
    let path = fake.desk().path().to_owned();
    drop(fake.proxy.take());
    assert!(!path.exists());
}

#[test]
fn a_path_that_is_too_long_is_refused() {
    let engine = Engine {
        host: Host::Unix("/run/docker.sock".into()),
        variables: &[],
    };
    let dir = Utf8PathBuf::from(format!("/tmp/{}", "x".repeat(120)));
    let run = RunId::from_random([7; 16]);
    let refused = Proxy::start(&dir, 1, 8, engine, &run, Box::new(|_| ())).unwrap_err();
    assert!(refused.to_string().contains("too long"), "{refused}");
}

#[test]
#[ignore = "a measurement: run it alone"]
#[expect(clippy::print_stdout, reason = "it is shown")]
fn what_a_request_costs() {
    const TIMES: u32 = 2000;
    let fake = start(answer);
    let clock = Clock::start();
    let direct = fake.desk().path().with_file_name("engine.sock");
    let measure = |what: &str, path: &Utf8Path, request: &str| {
        let before = clock.now();
        for _ in 0..TIMES {
            let mut client = UnixStream::connect(path).unwrap();
            client.write_all(request.as_bytes()).unwrap();
            let mut answer = String::new();
            client.read_to_string(&mut answer).unwrap();
        }
        let each = clock.now().saturating_sub(before) / TIMES;
        println!("{what}: {each:?} a request");
    };
    for _ in 0..3 {
        let ping = "GET /_ping HTTP/1.1\r\n\r\n";
        measure("ping, straight", &direct, ping);
        measure("ping, through the proxy", fake.desk().path(), ping);
        measure("create, straight", &direct, CREATE);
        measure("create, through the proxy", fake.desk().path(), CREATE);
    }
}

/// Reads a whole request with a body.
fn read_request(stream: &mut UnixStream) -> String {
    let mut seen = Vec::new();
    let mut piece = [0; 1024];
    while !seen.ends_with(b"}") && !seen.ends_with(b"\r\n\r\n") {
        let count = stream.read(&mut piece).unwrap();
        seen.extend_from_slice(&piece[..count]);
    }
    String::from_utf8(seen).unwrap()
}

/// An engine without a volume, which makes what it is asked for, but for this container; and what it is asked for. It
/// keeps its connections open.
fn with_volumes(refuses: bool) -> (Fake, std::sync::mpsc::Receiver<String>) {
    let (tell, told) = std::sync::mpsc::channel();
    let tell = Arc::new(Mutex::new(tell));
    let fake = start(move |mut stream| {
        let request = read_request(&mut stream);
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        let first = head.split(" HTTP").next().unwrap();
        tell.lock().unwrap().send(first.to_owned()).unwrap();
        let status = match first {
            "POST /containers/create" if refuses => "400 Bad Request",
            "GET /volumes/new" => "404 Not Found",
            "DELETE /volumes/new" => "204 No Content",
            _ => "201 Created",
        };
        let length = body.len();
        // A client that is gone is no matter here.
        drop(write!(
            stream,
            "HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}"
        ));
        drop(stream.read(&mut [0]));
    });
    (fake, told)
}

const CREATE_WITH_VOLUME: &str = "POST /containers/create HTTP/1.1\r\nContent-Length: 38\r\n\r\n\
                                  {\"HostConfig\":{\"Binds\":[\"new:/data\"]}}";

#[test]
fn a_volume_that_a_container_names_is_made_before_it() {
    let (fake, told) = with_volumes(false);
    let clock = Clock::start();
    fake.desk().begin("app t".to_owned());
    let seen = exchange(&fake, CREATE_WITH_VOLUME);
    assert!(
        seen.starts_with("HTTP/1.1 201 Created\r\n") && seen.ends_with("[\"new:/data\"]}}"),
        "{seen}"
    );
    assert!(fake.desk().end(&clock, Duration::from_secs(5)));
    let asked: Vec<_> = told.try_iter().collect();
    let create = "POST /containers/create";
    assert_eq!(asked, ["GET /volumes/new", "POST /volumes/create", create]);
    assert_eq!(fake.notified.lock().unwrap().len(), 1);
}

#[test]
fn a_volume_goes_before_its_client_learns_that_there_is_no_container() {
    let (fake, told) = with_volumes(true);
    let seen = exchange(&fake, CREATE_WITH_VOLUME);
    assert!(seen.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{seen}");
    let last = told.try_iter().last();
    assert_eq!(last.as_deref(), Some("DELETE /volumes/new"));
}

#[test]
fn volumes_of_a_dead_client_are_waited_for() {
    let (fake, told) = with_volumes(false);
    let clock = Clock::start();
    let mut client = fake.connect();
    client.write_all(CREATE_WITH_VOLUME.as_bytes()).unwrap();
    drop(client);
    assert!(fake.desk().end(&clock, Duration::from_secs(20)));
    assert!(
        clock.now() < Duration::from_secs(10),
        "the answer was not seen"
    );
    let last = told.try_iter().last();
    assert_eq!(last.as_deref(), Some("POST /containers/create"));
}

/// An engine that makes a container with this id, and says so in pieces.
fn in_pieces(id: &str) -> Fake {
    let body = format!("{{\"Id\":\"{id}\",\"Warnings\":[]}}");
    start(move |mut stream| {
        drop(read_request(&mut stream));
        let head = "HTTP/1.1 201 Created\r\nContent-Length: ";
        let answer = format!("{head}{}\r\n\r\n{body}", body.len());
        for piece in answer.as_bytes().chunks(40) {
            // A client that is gone is no matter here.
            drop(stream.write_all(piece));
        }
    })
}

#[test]
fn a_container_is_known_from_its_answer_until_the_next_test() {
    let id = "ab".repeat(32);
    let fake = in_pieces(&id);
    let roster = fake.proxy.as_ref().unwrap().roster();
    let seen = exchange(&fake, "GET /containers/json HTTP/1.1\r\n\r\n");
    assert!(seen.contains(&id), "{seen}");
    assert!(roster.news(0).is_none(), "it was made by nobody");
    let create =
        "POST /containers/create?name=web HTTP/1.1\r\nContent-Length: 13\r\n\r\n{\"Image\":\"i\"}";
    assert!(exchange(&fake, create).contains(&id));
    // The client may learn of it before.
    let clock = Clock::start();
    let (made, version) = loop {
        if let Some(news) = roster.news(0) {
            break news;
        }
        assert!(clock.now() < Duration::from_secs(10), "it was made");
        thread::yield_now();
    };
    let container = &made[0].container;
    assert_eq!((made.len(), made[0].slot, &container.id), (1, 1, &id));
    assert_eq!(
        (container.name.as_str(), container.image.as_str()),
        ("web", "i")
    );
    assert!(roster.news(version).is_none());
    fake.desk().begin("app u".to_owned());
    assert!(roster.news(version).expect("another test").0.is_empty());
}
