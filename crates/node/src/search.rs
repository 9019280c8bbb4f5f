//! Searching: the task that keeps the index up with the ledger, and the way to ask it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mufakat_store::search::{Found, Groups, Index, Question, Scope, Searcher};
use mufakat_store::{ClassNumber, Error, Part, Queries, Reader};
use tokio::sync::Notify;

use crate::alerts::{self, Asking};
use crate::node::Node;
use crate::writer::Fault;

/// How long new leaves gather before they are listed together.
const GATHER: Duration = Duration::from_millis(25);
/// How long to wait after the index could not be written.
const AFTER_FAILURE: Duration = Duration::from_secs(5);
/// How long to wait until the file may be written anew once more.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(10);
/// How many connections to the index are kept open.
const SEARCHERS_KEPT: usize = 4;

/// The index as the parts of the node share it.
pub(crate) struct Search {
    path: PathBuf,
    searchers: Mutex<Vec<Searcher>>,
    groups: Mutex<Groups>,
    /// Rings when whoever searched found the index damaged.
    damaged: Notify,
}

impl Search {
    /// The index in this file.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, searchers: Mutex::default(), groups: Mutex::default(), damaged: Notify::new() }
    }

    /// What somebody may find who may find records of these classes.
    pub(crate) fn scope(&self, store: &Reader, classes: &[ClassNumber]) -> Result<Scope, Error> {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        let new = store.classes(groups.last())?;
        groups.learn(&new);
        Ok(Scope::of(&groups, classes))
    }

    /// Answers a question.
    pub(crate) fn find(&self, store: &Reader, question: &Question<'_>) -> Result<Found, Error> {
        let kept = self.searchers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let searcher = match kept {
            Some(searcher) => searcher,
            // It is being made.
            None if !self.path.exists() => return Ok(Found::nothing()),
            None => self.mended(Searcher::open(&self.path))?,
        };
        let found = self.mended(searcher.find(store, question))?;
        let mut searchers = self.searchers.lock().unwrap_or_else(PoisonError::into_inner);
        if searchers.len() < SEARCHERS_KEPT {
            searchers.push(searcher);
        }
        Ok(found)
    }

    /// Has the index made anew when it turns out to be damaged.
    fn mended<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
        if let Err(Error::Damaged { part: Part::Search, .. }) = &result {
            self.damaged.notify_one();
        }
        result
    }

    /// Connections to a file that is gone are of no use.
    fn forget_searchers(&self) {
        self.searchers.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// Keeps the index up with the ledger until the node stops.
pub(crate) async fn run(node: Arc<Node>) {
    let mut size = node.ledger_size.subscribe();
    let mut index = None;
    let mut asking = Asking::default();
    loop {
        let caught_up = catch_up(&node, &mut index).await;
        let nap = match caught_up {
            Ok(turn) => {
                if turn.listed > 0
                    && let Err(fault) = alerts::run(&node, &mut asking).await
                {
                    tracing::warn!(%fault, "saved searches could not be asked; they will be with what comes next");
                }
                turn.later.then_some(UPKEEP_INTERVAL)
            }
            Err(fault) => {
                tracing::warn!(%fault, "what is new cannot be listed for searching; it will be tried again");
                index = None;
                Some(AFTER_FAILURE)
            }
        };
        let again = async {
            match nap {
                Some(nap) => tokio::time::sleep(nap).await,
                None => std::future::pending().await,
            }
        };
        let failed = index.is_none();
        tokio::select! {
            () = again => {}
            () = node.search.damaged.notified() => {
                // Whoever opens it looks at it more closely than whoever goes on with it.
                index = None;
                node.search.forget_searchers();
                if let Err(error) = std::fs::remove_file(&node.search.path) {
                    tracing::warn!(%error, "the damaged search index cannot be taken away");
                }
                tracing::warn!("the search index is damaged and is made anew");
            }
            changed = size.changed(), if !failed => {
                if changed.is_err() {
                    return;
                }
                tokio::time::sleep(GATHER).await;
            }
            () = node.stopping() => return,
        }
    }
}

/// What catching up came to.
struct CaughtUp {
    /// How many records were listed.
    listed: u64,
    /// Whether the file is to be written anew later.
    later: bool,
}

/// Lists everything that is new.
async fn catch_up(node: &Arc<Node>, kept: &mut Option<Index>) -> Result<CaughtUp, Fault> {
    let mut listed = 0;
    loop {
        if node.is_stopping() {
            return Ok(CaughtUp { listed, later: false });
        }
        let (taken, searching) = (kept.take(), Arc::clone(node));
        let turn = node.read(move |reader| {
            let search = &searching.search;
            let mut index = match taken {
                Some(index) => index,
                None => Index::open(&search.path, reader)?,
            };
            let progress = match index.follow(reader) {
                Err(Error::Damaged { part: Part::Search, what }) => {
                    tracing::warn!(what, "the search index is damaged and is made anew");
                    search.forget_searchers();
                    index = Index::make(&search.path)?;
                    index.follow(reader)?
                }
                progress => progress?,
            };
            let later = if progress.more { false } else { index.upkeep()? };
            Ok((index, progress, later))
        });
        let (index, progress, later) = turn.await?;
        *kept = Some(index);
        node.metrics.search_followed.set(i64::try_from(progress.next).unwrap_or(i64::MAX));
        listed += progress.listed;
        if !progress.more {
            return Ok(CaughtUp { listed, later });
        }
    }
}
