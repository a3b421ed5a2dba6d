//! Requests to an engine whose answers are read by ourselves: its dialect is wider than the client's.

use std::io;

use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWrite;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::net::UnixStream;

use super::answer::status;
use super::label::encode;
use crate::container::Address;

/// What a list is asked for that is to have labels of this key only.
pub(super) fn filters(key: &str) -> String {
    encode(serde_json::json!({ "label": [key] }).to_string().as_bytes())
}

/// The body of an answer.
pub(super) fn body(answer: &[u8]) -> &[u8] {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    end.map_or(&[], |end| &answer[end + 4..])
}

/// What the engine says of a request that it has refused.
pub(super) fn complaint(answer: &[u8]) -> String {
    let body = serde_json::from_slice::<serde_json::Value>(body(answer));
    let message = body
        .ok()
        .and_then(|body| Some(body["message"].as_str()?.to_owned()));
    message.unwrap_or_else(|| format!("it has answered {}", status(answer).unwrap_or_default()))
}

/// Sends a request without a body, as one of HTTP/1.0: the answer ends with the connection, and is in one piece.
///
/// # Errors
/// The engine can't be reached.
pub(super) async fn ask(engine: &Address, method: &str, target: &str) -> io::Result<Vec<u8>> {
    let request = format!("{method} {target} HTTP/1.0\r\nHost: cargo-stt\r\n\r\n");
    match engine {
        Address::Unix(path) => exchange(UnixStream::connect(path).await?, &request).await,
        Address::Tcp(address) => exchange(TcpStream::connect(address).await?, &request).await,
    }
}

async fn exchange(
    mut engine: impl AsyncRead + AsyncWrite + Unpin,
    request: &str,
) -> io::Result<Vec<u8>> {
    engine.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    engine.read_to_end(&mut answer).await?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_is_the_engines_own() {
        let said = |answer: &str| complaint(answer.as_bytes());
        let refused = "HTTP/1.0 409 Conflict\r\n\r\n{\"cause\":\"x\",\"message\":\"it is in use\"}";
        assert_eq!(said(refused), "it is in use");
        assert_eq!(said("HTTP/1.0 500 Oh\r\n\r\nno"), "it has answered 500");
    }
}
