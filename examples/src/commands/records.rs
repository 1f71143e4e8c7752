//! `get` and `put`: records of the DHT.

use dragnet_libp2p::{Config, PublishError, query};
use futures::StreamExt;
use libp2p::kad::Record;
use serde_json::json;

use crate::args;
use crate::cli::{GetArgs, PutArgs};
use crate::duration::{as_ms, show};
use crate::error::{Error, Exit};
use crate::market::Ending;
use crate::output::{Asked, EndingObject, Output};
use crate::peer::{self, Peer};

/// Gets a record and prints its value.
///
/// # Errors
///
/// A key that is none, a bad address, nobody who answers.
pub async fn get(args: &GetArgs, output: Output) -> Result<Exit, Error> {
    let key = args::record(&args.key)?;
    let peer = Peer::join(&args.network).await?;
    peer.run(async |client| {
        let mut get = query::get(key);
        get.config = get.config.with_timeout(args.timeout);
        let mut records = client.query(get)?;
        let mut results = 0;
        while let Some(found) = records.next().await {
            let Some(record) = found.item.record() else { continue };
            results += 1;
            output.text(printable(&record.value))?;
            output.object(&json!({
                "kind": "record",
                "key": args.key,
                "value": String::from_utf8_lossy(&record.value),
                "value_hex": hex::encode(&record.value),
                "publisher": record.publisher.map(|peer| peer.to_string()),
                "from": found.from.map(|peer| peer.to_string()),
                "elapsed_ms": as_ms(found.elapsed),
            }))?;
        }
        let ending = Ending::of_query(&peer::drain(records).await?, results);
        output.object(&EndingObject::new("summary", Asked::Key(&args.key), &ending))?;
        if results > 0 {
            return Ok(Exit::Found);
        }
        eprintln!("no record under `{}` after {}: {}", args.key, show(ending.stats.total), ending.reason);
        Ok(Exit::Nothing)
    })
    .await
}

/// A stranger's bytes, fit for a terminal.
fn printable(value: &[u8]) -> String {
    match std::str::from_utf8(value) {
        Ok(text)
            if !text.contains(|letter: char| letter.is_control() && letter != '\n' && letter != '\t') =>
        {
            text.to_string()
        }
        _ => format!("0x{}", hex::encode(value)),
    }
}

/// Puts a record, and prints the peers that have stored it.
///
/// # Errors
///
/// A key that is none, a value that is too large, a bad address, nobody who answers.
pub async fn put(args: &PutArgs, output: Output) -> Result<Exit, Error> {
    let key = args::record(&args.key)?;
    let (bytes, max) = (args.value.len(), Config::default().store.value_bytes_max);
    if bytes > max {
        let source = PublishError::ValueTooLarge { bytes, max };
        return Err(Error::Publish { what: args.key.clone(), source });
    }
    let peer = Peer::join(&args.network).await?;
    peer.run(async |client| {
        let record = Record::new(key, args.value.clone().into_bytes());
        let publish_error = |source| Error::Publish { what: args.key.clone(), source };
        let publication = client.put(record).await.map_err(publish_error)?;
        for peer in &publication.stored {
            output.line(format!("stored at {peer}"), &json!({"kind": "stored", "peer": peer.to_string()}))?;
        }
        for peer in &publication.failed {
            output.line(format!("failed at {peer}"), &json!({"kind": "failed", "peer": peer.to_string()}))?;
        }
        Ok(if publication.stored.is_empty() { Exit::Nothing } else { Exit::Found })
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strangers_value_does_not_reach_the_terminal_raw() {
        assert_eq!(printable("grüße\n".as_bytes()), "grüße\n");
        assert_eq!(printable(b"\x1b[2J"), "0x1b5b324a");
        assert_eq!(printable(b"\xff"), "0xff");
    }
}
