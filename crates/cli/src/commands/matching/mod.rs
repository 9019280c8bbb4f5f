//! `match`: asking partners by private matching, what comes of it, and this agency's own lists.

mod ask;
mod audit;
mod budget;
pub(super) mod compare;
mod import;
mod list;
mod rows;
mod shown;

use serde_json::{Value, json};

use crate::args::{Match, PageArgs, RowsArgs, Watch};
use crate::client::{Client, escape};
use crate::output::{Output, short, text_of};

/// The view in which everything about matching stands.
const VIEW: &str = "matching";
/// How many rows are read where all of a sort are wanted.
const ROWS_MAX: usize = 5_000;

/// Carries out one of the commands about matching.
pub(super) async fn run(client: &Client, what: Match, output: Output) -> anyhow::Result<()> {
    match what {
        Match::Ask(args) => ask::ask(client, *args, output).await,
        Match::Show { ask } => {
            let id = ask_id(client, &ask).await?;
            let answer = client.get(&format!("/api/v1/matching/asks/{id}")).await?;
            Ok(output.show(&answer, || shown::ask_words(&answer))?)
        }
        Match::Asks(args) => shown::asks(client, &args, &[], output).await,
        Match::Hits(args) => shown::hits(client, &args, output).await,
        Match::Request { ask, question, item } => ask::request(client, &ask, question.as_deref(), item, output).await,
        Match::Watch(Watch::List(args)) => shown::asks(client, &args, &[("watch", "open")], output).await,
        Match::Watch(Watch::End { ask }) => {
            let id = ask_id(client, &ask).await?;
            let answer = client.post(&format!("/api/v1/matching/asks/{id}/end"), &json!({})).await?;
            Ok(output.show(&answer, || "it is watched no more, and what partners answered is erased\n".to_owned())?)
        }
        Match::List(what) => list::run(client, what, output).await,
        Match::Budget(what) => budget::run(client, what, output).await,
        Match::Asked { partner, state, rows } => {
            budget::asked(client, partner.as_ref(), state.as_deref(), &rows, output).await
        }
        Match::Alarms(rows) => budget::alarms(client, &rows, output).await,
        Match::Audit(what) => audit::run(client, what, output).await,
        Match::Compare(args) => compare::run(&args, output),
    }
}

/// Facets as they stand in the query of a view.
fn facets(pairs: &[(&str, &str)]) -> String {
    pairs.iter().map(|(name, value)| format!("&facet={}", escape(&format!("{name}:{value}")))).collect()
}

/// A page of the view's rows with these facets.
async fn page(client: &Client, pairs: &[(&str, &str)], rows: &RowsArgs) -> anyhow::Result<Value> {
    let after = rows.after.iter().map(|after| format!("&after={}", escape(after))).collect::<String>();
    client.get(&format!("/api/v1/views/{VIEW}?limit={}{}{after}", rows.limit, facets(pairs))).await
}

/// The rows of a page.
fn rows_of(page: &Value) -> &[Value] {
    page["rows"].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// How to go on behind a page.
fn more(page: &Value) -> String {
    page["next"].as_str().map(|next| format!("\nmore with: --after {next}\n")).unwrap_or_default()
}

/// By which facet the rows of whoever asks are found; none if those of all are wanted.
async fn whose(client: &Client, args: &PageArgs) -> anyhow::Result<Option<String>> {
    if args.all {
        return Ok(None);
    }
    let session = client.get("/api/v1/session").await?;
    // Rows of what was handed in at the socket have a line in the place of the officer.
    Ok(Some(session["officer"].as_str().unwrap_or("-").to_owned()))
}

/// The whole id of an ask that was given by its beginning.
async fn ask_id(client: &Client, given: &str) -> anyhow::Result<String> {
    client.id_among(&[VIEW], &facets(&[("row", "ask")]), |row| &row["record"], given).await
}

/// The whole id of a question of this agency's that was given by its beginning.
async fn question_id(client: &Client, given: &str) -> anyhow::Result<String> {
    client.id_among(&[VIEW], &facets(&[("row", "question")]), |row| &row["body"]["question"], given).await
}

/// The questions of an ask, as rows of the view. To read these is not noted as a use of the ask.
async fn questions_of(client: &Client, ask: &str) -> anyhow::Result<Vec<Value>> {
    client.rows(VIEW, &facets(&[("row", "question"), ("ask", ask)]), ROWS_MAX).await
}

/// A number with its noun.
fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// A subject, and whether a list of these can be kept secret.
fn subject_shown(subject: &Value, enumerable: &Value) -> String {
    let secret = if *enumerable == true { " (not secret)" } else { "" };
    format!("{}{secret}", text_of(subject))
}

/// The beginning of an id in a JSON value.
fn short_of(id: &Value) -> String {
    short(id.as_str().unwrap_or_default()).to_owned()
}

/// Who did something: an officer, or whoever works at the socket.
fn by_shown(by: &Value) -> String {
    if by.is_null() { "at the socket".to_owned() } else { text_of(by) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_with_their_nouns() {
        for (number, shown) in [(0, "0 hits"), (1, "1 hit"), (2, "2 hits")] {
            assert_eq!(counted(number, "hit", "hits"), shown);
        }
    }

    #[test]
    fn facets_are_a_query() {
        assert_eq!(facets(&[]), "");
        assert_eq!(facets(&[("row", "ask"), ("by", "-")]), "&facet=row%3Aask&facet=by%3A-");
    }
}
