//! Whole exchanges: order, framing of responses, streaming both ways, and how connections end.

use std::{
    cell::{Cell, RefCell},
    future::{pending, ready},
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderValue, Response, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{Notify, oneshot},
};

use super::support::{Echo, answer, read_all, read_until, run, statuses};
use crate::http1::{BodyError, Config, Handler, Head, HeadError, RequestBody, connection::End, serve};

/// A handler made of a function.
pub struct Via<F>(pub F);

impl<F, Fut, B> Handler for Via<F>
where
    F: Fn(Head, RequestBody) -> Fut,
    Fut: Future<Output = Response<B>>,
    B: Body<Data = Bytes> + From<Bytes>,
{
    type Body = B;

    fn call(&self, head: Head, body: RequestBody) -> impl Future<Output = Response<B>> {
        (self.0)(head, body)
    }

    fn malformed(&self, error: &HeadError) -> Response<B> {
        answer(error.reason.status(), error.to_string()).map(|body| B::from(body.into_inner().unwrap_or_default()))
    }
}

/// A frame that is not there yet.
const LATER: Bytes = Bytes::from_static(b"later");

/// A body of given frames; its length is known only where it is said.
pub struct Frames {
    frames: std::collections::VecDeque<Result<Bytes, &'static str>>,
    length: Option<u64>,
}

impl From<Bytes> for Frames {
    fn from(bytes: Bytes) -> Self {
        Self { length: Some(bytes.len() as u64), frames: [Ok(bytes)].into() }
    }
}

impl Body for Frames {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        if self.frames.pop_front_if(|frame| *frame == Ok(LATER)).is_some() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(self.frames.pop_front().map(|frame| frame.map(Frame::data)))
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

fn frames(list: &[Result<&'static str, &'static str>], length: Option<u64>) -> Response<Frames> {
    Response::new(Frames {
        frames: list.iter().map(|f| f.map(|text| Bytes::from_static(text.as_bytes()))).collect(),
        length,
    })
}

/// What is answered to `request`, and how the connection ended.
async fn ask<H: Handler>(handler: &H, request: &str) -> (End, String) {
    run(handler, &Config::default(), async |mut stream| {
        stream.write_all(request.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        read_all(&mut stream).await
    })
    .await
}

const GET: &str = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n";
const POST_PART: &str = "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc";
const OK_EMPTY: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

#[tokio::test]
async fn requests_are_answered_in_order_on_one_connection() {
    let echo = Echo::default();
    let post = "POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    let last =
        "POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n2\r\nde\r\n0\r\n\r\n";
    let (end, text) = ask(&echo, &format!("{GET}{post}{last}{GET}")).await;
    assert_eq!(
        text,
        "HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\nGET /a\n\
         HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\nPOST /b\nabc\
         HTTP/1.1 200 OK\r\ncontent-length: 10\r\nconnection: close\r\n\r\nPOST /c\nde"
    );
    assert_eq!((end, echo.0.borrow().requests.len()), (End::Closed, 3));
}

#[tokio::test]
async fn what_is_no_request_is_answered_once_and_closes() {
    let echo = Echo::default();
    let (end, text) = ask(&echo, &format!("GET /a HTTP/1.1\r\n\r\n{GET}")).await;
    assert!(matches!(end, End::Malformed(_)));
    assert!(text.starts_with("HTTP/1.1 400 Bad Request\r\ncontent-length: 14\r\nconnection: close\r\n\r\n"), "{text}");
    assert_eq!((statuses(&text).len(), echo.0.borrow().heads), (1, 0));
}

#[tokio::test]
async fn framing_of_responses() {
    let listed = || frames(&[Ok("ab"), Ok(""), Ok("cde")], None);
    let cases = [
        ("GET / HTTP/1.1", frames(&[Ok("ab"), Ok("c")], Some(3)), "content-length: 3\r\n\r\nabc"),
        ("GET / HTTP/1.1", listed(), "transfer-encoding: chunked\r\n\r\n2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n"),
        ("GET / HTTP/1.0", listed(), "connection: close\r\n\r\nabcde"),
        ("GET / HTTP/1.0", frames(&[Ok("a")], Some(1)), "content-length: 1\r\nconnection: close\r\n\r\na"),
        ("HEAD / HTTP/1.1", frames(&[Ok("abc")], Some(3)), "content-length: 3\r\n\r\n"),
        ("HEAD / HTTP/1.1", with_length(frames(&[], Some(0))), "content-length: 42\r\n\r\n"),
        ("GET / HTTP/1.1", status(frames(&[Ok("abc")], Some(3)), 204), "\r\n"),
        ("GET / HTTP/1.1", status(with_length(frames(&[], Some(0))), 304), "content-length: 42\r\n\r\n"),
    ];
    for (line, response, expected) in cases {
        let response = RefCell::new(Some(response));
        let handler = Via(|_, _| ready(response.take().unwrap()));
        let (_, text) = ask(&handler, &format!("{line}\r\nHost: a\r\n\r\n")).await;
        let (status, rest) = text.split_once("\r\n").unwrap();
        assert!(status.starts_with("HTTP/1.1 "), "{status}");
        assert_eq!(rest, expected, "{line}");
    }
}

fn with_length(mut response: Response<Frames>) -> Response<Frames> {
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from_static("42"));
    response
}

fn status(mut response: Response<Frames>, status: u16) -> Response<Frames> {
    *response.status_mut() = status.try_into().unwrap();
    response
}

#[tokio::test]
async fn fields_of_the_upstream_connection_stay_behind() {
    let handler = Via(|_, _| {
        let mut response = frames(&[Ok("a")], None);
        for (name, value) in [
            ("connection", "close, x-a"),
            ("x-a", "1"),
            ("content-length", "7"),
            ("transfer-encoding", "gzip"),
            ("keep-alive", "timeout=1"),
            ("x-b", "2"),
            ("date", "today"),
        ] {
            response.headers_mut().append(name, HeaderValue::from_static(value));
        }
        ready(response)
    });
    let (_, text) = ask(&handler, GET).await;
    assert_eq!(
        text,
        "HTTP/1.1 200 OK\r\nx-b: 2\r\ndate: today\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"
    );
}

#[tokio::test]
async fn a_response_that_cannot_be_finished_is_cut_off() {
    let begun = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n";
    for (response, sent) in [
        (frames(&[Ok("ab"), Err("upstream")], None), ""),
        (frames(&[Ok("ab"), Ok("later"), Ok("later"), Err("upstream")], None), begun),
        (frames(&[Ok("ab"), Err("upstream")], Some(5)), ""),
        (frames(&[Ok("ab")], Some(5)), ""),
        (frames(&[Ok("abcdef")], Some(5)), ""),
        (status(frames(&[], Some(0)), 101), ""),
        (status(frames(&[], Some(0)), 100), ""),
    ] {
        let response = RefCell::new(Some(response));
        let (end, text) = ask(&Via(|_, _| ready(response.take().unwrap())), &format!("{GET}{GET}")).await;
        assert_eq!((end, text.as_str()), (End::CutOff, sent));
    }
}

#[tokio::test]
async fn large_bodies_flow_through_a_narrow_stream_unchanged() {
    let data: Vec<u8> = (0..1_000_000_u32).map(|i| (i % 251) as u8).collect();
    let (ours, theirs) = tokio::io::duplex(1000);
    let (mut reading, mut writing) = tokio::io::split(theirs);
    let echo = Echo::default();
    let config = Config { body_bytes: 2_000_000, ..Config::default() };
    let client = async {
        let head =
            format!("POST /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", data.len());
        writing.write_all(head.as_bytes()).await.unwrap();
        writing.write_all(&data).await.unwrap();
        let mut back = Vec::new();
        reading.read_to_end(&mut back).await.unwrap();
        back
    };
    let (end, back) = tokio::join!(serve(ours, &echo, &config, pending()), client);
    assert_eq!(end, End::Closed);
    assert!(back.ends_with(&data), "{} bytes came back", back.len());
}

/// A stream that cannot write slices together.
struct OneByOne(DuplexStream);

impl AsyncRead for OneByOne {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for OneByOne {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[tokio::test]
async fn large_chunks_are_written_whole_in_however_many_pieces() {
    let sizes = [1, 4096, 4097, 16384, 16385, 100_000, 3];
    let data: Vec<Bytes> = sizes.iter().map(|size| vec![b'a'; *size].into()).collect();
    let mut expected = String::from("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n");
    for size in sizes {
        expected += &format!("{size:x}\r\n{}\r\n", "a".repeat(size));
    }
    expected += "0\r\n\r\n";
    let handler =
        Via(|_, _| ready(Response::new(Frames { frames: data.iter().cloned().map(Ok).collect(), length: None })));
    for (room, vectored) in [(1 << 20, true), (1 << 20, false), (1000, true), (1000, false), (7, true)] {
        let (ours, mut theirs) = tokio::io::duplex(room);
        let client = async {
            theirs.write_all(b"GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
            read_all(&mut theirs).await
        };
        let config = Config::default();
        let text = if vectored {
            assert!(ours.is_write_vectored());
            tokio::join!(serve(ours, &handler, &config, pending()), client).1
        } else {
            tokio::join!(serve(OneByOne(ours), &handler, &config, pending()), client).1
        };
        assert!(text == expected, "room {room}, vectored {vectored}: {} bytes, {:.99}", text.len(), text);
    }
}

/// Answers at once with the request's body as it comes.
pub struct Mirror(RequestBody);

impl From<Bytes> for Mirror {
    fn from(_: Bytes) -> Self {
        panic!("nothing here is malformed")
    }
}

impl Body for Mirror {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }
}

#[tokio::test]
async fn request_and_response_stream_at_the_same_time() {
    let handler = Via(async |_, body| Response::new(Mirror(body)));
    let (end, ()) = run(&handler, &Config::default(), async |mut stream| {
        stream.write_all(b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").await.unwrap();
        assert!(read_until(&mut stream, "\r\n\r\n").await.starts_with("HTTP/1.1 200 OK\r\n"));
        for text in ["1\r\na\r\n", "3\r\nbcd\r\n", "0\r\n\r\n"] {
            stream.write_all(text.as_bytes()).await.unwrap();
            assert_eq!(read_until(&mut stream, text).await, text);
        }
        stream.write_all(b"POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi").await.unwrap();
        assert!(read_until(&mut stream, "\r\n2\r\nhi\r\n0\r\n\r\n").await.starts_with("HTTP/1.1 200 OK\r\n"));
    })
    .await;
    assert_eq!(end, End::CallerClosed);
}

#[tokio::test]
async fn a_body_in_another_task_outlives_neither_exchange_nor_connection() {
    let local = tokio::task::LocalSet::new();
    let outcome = Rc::new(RefCell::new(Vec::new()));
    let handler = Via(|_, mut body: RequestBody| {
        let outcome = Rc::clone(&outcome);
        tokio::task::spawn_local(async move {
            while let Some(frame) = body.frame().await {
                outcome.borrow_mut().push(frame.map(|frame| frame.into_data().unwrap()));
                if outcome.borrow().last().is_some_and(Result::is_err) {
                    break;
                }
            }
        });
        ready(answer(200, "early"))
    });
    local
        .run_until(async {
            let (end, text) = run(&handler, &Config::default(), async |mut stream| {
                stream.write_all(b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc").await.unwrap();
                read_until(&mut stream, "early").await;
                // the rest of the body and the next request: the body task must see neither
                stream.write_all(format!("defghi{GET}").as_bytes()).await.unwrap();
                read_until(&mut stream, "early").await
            })
            .await;
            assert_eq!((end, statuses(&text)), (End::CallerClosed, vec![200]));
        })
        .await;
    local.await;
    let taken: Vec<_> = outcome.borrow().iter().filter_map(|frame| frame.clone().ok()).collect();
    assert!(b"abc".starts_with(&taken.concat()), "{taken:?}");
    assert!(outcome.borrow().contains(&Err(BodyError::Over)));
}

#[tokio::test]
async fn continue_is_sent_when_the_body_is_asked_for_and_not_before() {
    let decide = Notify::new();
    let handler = Via(async |_, body: RequestBody| {
        decide.notified().await;
        Response::new(Full::new(body.collect().await.unwrap().to_bytes()))
    });
    let (end, ()) = run(&handler, &Config::default(), async |mut stream| {
        let head = "POST /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        let mut early = [0; 1];
        assert!(futures_now(stream.read(&mut early)).await.is_none(), "something was sent before the decision");
        decide.notify_one();
        assert_eq!(read_until(&mut stream, "\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
        stream.write_all(b"abc").await.unwrap();
        assert_eq!(read_until(&mut stream, "abc").await, "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc");
        // who does not wait gets no interim response
        let chunked = "POST /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n3\r";
        for (first, rest) in [(format!("{head}abc"), ""), (chunked.to_owned(), "\nabc\r\n0\r\n\r\n")] {
            decide.notify_one();
            stream.write_all(first.as_bytes()).await.unwrap();
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
            stream.write_all(rest.as_bytes()).await.unwrap();
            assert_eq!(read_until(&mut stream, "abc").await, "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc");
        }
    })
    .await;
    assert_eq!(end, End::CallerClosed);
}

#[tokio::test]
async fn continue_is_sent_when_another_task_asks_for_the_body() {
    let local = tokio::task::LocalSet::new();
    let handler = Via(async |_, body: RequestBody| {
        let (tell, told) = oneshot::channel();
        tokio::task::spawn_local(async move { tell.send(body.collect().await.unwrap().to_bytes()) });
        Response::new(Full::new(told.await.unwrap()))
    });
    let config = Config::default();
    let exchange = run(&handler, &config, async |mut stream| {
        let head = "POST /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        assert_eq!(read_until(&mut stream, "\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
        stream.write_all(b"abc").await.unwrap();
        read_until(&mut stream, "abc").await
    });
    let exchange = tokio::time::timeout(std::time::Duration::from_secs(20), exchange);
    let (end, text) = local.run_until(exchange).await.expect("nobody was woken");
    assert_eq!((end, text.as_str()), (End::CallerClosed, "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc"));
}

/// What is ready right now.
async fn futures_now<T>(work: impl Future<Output = T>) -> Option<T> {
    let mut work = std::pin::pin!(work);
    std::future::poll_fn(|cx| {
        Poll::Ready(match work.as_mut().poll(cx) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        })
    })
    .await
}

#[tokio::test]
async fn a_refusal_without_continue_closes() {
    let handler = Via(|_, _| ready(answer(403, "no")));
    let head = "POST /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 42\r\n\r\n";
    let (end, text) = ask(&handler, &format!("{head}{GET}")).await;
    assert_eq!(text, "HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno");
    assert_eq!(end, End::Closed);
}

#[tokio::test]
async fn an_unread_body_is_never_a_request() {
    let heads = Cell::new(0);
    let handler = Via(|_, _| {
        heads.set(heads.get() + 1);
        ready(answer(403, "no"))
    });
    let length = |body: &str| format!("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let chunked = "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let inner = format!("{:x}\r\n{GET}\r\n0\r\n\r\n", GET.len());
    for (request, exchanges, closes) in [
        (length(GET), 2, false),
        (format!("{chunked}{inner}"), 2, false),
        (length(&GET.repeat(3000)), 1, true),
        (format!("{chunked}10000000\r\n{}", GET.repeat(4000)), 1, true),
        (format!("{chunked}0x1\r\n{GET}"), 1, true),
    ] {
        heads.set(0);
        let (end, text) = run(&handler, &Config::default(), async |stream| {
            let (mut reading, mut writing) = tokio::io::split(stream);
            let send = async {
                let _ = writing.write_all(format!("{request}{GET}").as_bytes()).await;
                let _ = writing.shutdown().await;
            };
            tokio::join!(read_all(&mut reading), send).0
        })
        .await;
        assert_eq!((heads.get(), statuses(&text).len()), (exchanges, exchanges), "{:.80}", request);
        assert_eq!(end == End::Closed, closes, "{:.80}", request);
    }
}

#[tokio::test]
async fn a_body_above_its_limit_is_refused_before_it_is_read() {
    let handler = Via(async |_, mut body: RequestBody| match body.restrict(3, std::time::Duration::from_secs(1)) {
        Err(error) => answer(error.reason().unwrap().status(), "up front"),
        Ok(()) => match body.collect().await {
            Ok(_) => answer(200, "fits"),
            Err(error) => answer(error.reason().unwrap().status(), "midway"),
        },
    });
    let chunked = "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (request, expected) in [
        ("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n".to_owned(), "413 Payload Too Large up front"),
        ("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc".to_owned(), "200 OK fits"),
        (format!("{chunked}2\r\nab\r\n2\r\n"), "413 Payload Too Large midway"),
        (format!("{chunked}3\r\nabc\r\n0\r\n\r\n"), "200 OK fits"),
        (format!("{chunked}3\r\nabc\r\n0\r\nX: {}\r\n\r\n", "a".repeat(5000)), "400 Bad Request midway"),
    ] {
        let (_, text) = ask(&handler, &request).await;
        let (first, rest) = text.split_once("\r\n").unwrap();
        let (head, body) = rest.split_once("\r\n\r\n").unwrap();
        assert_eq!(format!("{} {body}", first.strip_prefix("HTTP/1.1 ").unwrap()), expected, "{request:.80}");
        assert_eq!(head.contains("connection: close"), !expected.starts_with("200"), "{head}");
    }
}

#[tokio::test]
async fn a_body_cut_short_is_an_error() {
    for request in [
        "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nabc",
        "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
        "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc",
        "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3",
    ] {
        let echo = Echo::default();
        let (end, text) = ask(&echo, request).await;
        assert_eq!((end, statuses(&text)), (End::Closed, vec![408]), "{request}");
        assert_eq!((echo.0.borrow().requests.len(), echo.0.borrow().cut_short), (0, 1), "{request}");
    }
}

#[tokio::test]
async fn a_caller_that_stops_sending_still_gets_its_answer() {
    let go = Notify::new();
    let handler = Via(async |_, _| {
        go.notified().await;
        answer(200, "late")
    });
    let (end, text) = run(&handler, &Config::default(), async |mut stream| {
        stream.write_all(GET.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        go.notify_one();
        read_all(&mut stream).await
    })
    .await;
    assert_eq!((end, statuses(&text)), (End::Closed, vec![200]));
}

/// A pair of connected sockets.
async fn sockets() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (client, server) = tokio::join!(TcpStream::connect(address), listener.accept());
    (client.unwrap(), server.unwrap().0)
}

/// Tells when it is dropped.
struct Guard(Option<oneshot::Sender<()>>);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.take().unwrap().send(());
    }
}

/// What the handler does when the caller resets the connection.
#[derive(Clone, Copy, Debug)]
enum Doing {
    Deciding,
    Reading,
    Answering,
}

#[tokio::test]
async fn a_reset_drops_the_handler_and_the_response() {
    for doing in [Doing::Deciding, Doing::Reading, Doing::Answering] {
        let (client, server) = sockets().await;
        let (began, begins) = oneshot::channel();
        let (dropped, drops) = oneshot::channel();
        let signals = RefCell::new(Some((began, Guard(Some(dropped)))));
        let handler = Via(async |_, body: RequestBody| {
            let (began, guard) = signals.take().unwrap();
            began.send(()).unwrap();
            match doing {
                Doing::Deciding => pending::<()>().await,
                Doing::Reading => {
                    assert_eq!(body.collect().await.unwrap_err(), BodyError::Gone);
                    pending::<()>().await;
                }
                Doing::Answering => {}
            }
            Response::new(Silent(guard))
        });
        let caller = async {
            let mut client = client;
            let head = if matches!(doing, Doing::Reading) { POST_PART } else { GET };
            client.write_all(head.as_bytes()).await.unwrap();
            begins.await.unwrap();
            client.set_zero_linger().unwrap();
            drop(client);
            drops.await.unwrap();
        };
        let config = Config::default();
        let (end, ()) = tokio::join!(serve(server, &handler, &config, pending()), caller);
        assert_eq!(end, End::Gone, "{doing:?}");
    }
}

/// A body that never has anything.
struct Silent(Guard);

impl From<Bytes> for Silent {
    fn from(_: Bytes) -> Self {
        panic!("nothing here is malformed")
    }
}

impl Body for Silent {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        assert!(self.0.0.is_some());
        Poll::Pending
    }
}

#[tokio::test]
async fn draining_finishes_the_exchange_in_hand() {
    let (ours, mut theirs) = tokio::io::duplex(1 << 16);
    let (go, drain) = (Notify::new(), Notify::new());
    let handler = Via(async |_, _| {
        drain.notify_one();
        go.notified().await;
        answer(200, "last")
    });
    let config = Config::default();
    let client = async {
        theirs.write_all(format!("{GET}{GET}").as_bytes()).await.unwrap();
        go.notify_one();
        read_all(&mut theirs).await
    };
    let (end, text) = tokio::join!(serve(ours, &handler, &config, drain.notified()), client);
    assert_eq!(text, "HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\nlast");
    assert_eq!(end, End::Drained);
}

#[tokio::test]
async fn draining_closes_an_idle_connection_at_once() {
    let handler = Via(|_, _| ready(answer(200, "")));
    let (ours, mut theirs) = tokio::io::duplex(1 << 16);
    let drain = Notify::new();
    let config = Config::default();
    let client = async {
        theirs.write_all(GET.as_bytes()).await.unwrap();
        assert_eq!(read_until(&mut theirs, "\r\n\r\n").await, OK_EMPTY);
        drain.notify_one();
        read_all(&mut theirs).await
    };
    let (end, rest) = tokio::join!(serve(ours, &handler, &config, drain.notified()), client);
    assert_eq!((end, rest.as_str()), (End::Drained, ""));
}
