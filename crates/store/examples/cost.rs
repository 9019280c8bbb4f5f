//! Measures the writer.
#![allow(missing_docs)]
use std::time::Instant;
use mufakat_store::conformance::community::*;
use mufakat_store::*;
use mufakat_exchange::Change;
fn main() {
    let dir = std::env::args().nth(1).unwrap();
    let n: usize = std::env::args().nth(2).unwrap().parse().unwrap();
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).unwrap();
    let c = Community::found(&["aa", "bb"]);
    let mk = |s: &str| {
        let p = std::path::Path::new(&dir).join(s);
        Node::start(Sqlite::create(&p, &name(s), Options::default()).unwrap(), &c)
    };
    let (mut a, mut b) = (mk("aa"), mk("bb"));
    let text = "x".repeat(1700);
    let mut pos = 1u64;
    let (mut ta, mut tb, mut tr, mut xa) = (0.0, 0.0, 0.0, 0.0);
    for round in 0..n / 256 {
        let recs: Vec<_> = (0..256).map(|i| a.report(&[&name("bb")], &format!("{round} {i} {text}"), &[])).collect();
        if round == 0 { println!("record bytes {}", recs[0].bytes().len()); }
        let t = Instant::now();
        a.store.begin().unwrap();
        // one submission each, as a node does
        for r in recs { a.share(vec![r]).unwrap(); }
        a.store.commit().unwrap();
        ta += t.elapsed().as_secs_f64();
        let t = Instant::now();
        let q = a.store.outbox(&name("bb"), pos, 256, usize::MAX).unwrap();
        xa += t.elapsed().as_secs_f64();
        let (batch, receipt) = { b.store.begin().unwrap(); b.prepare(&name("aa"), 1, pos, q.into_iter().map(|q| q.bytes).collect()) };
        let t = Instant::now();
        b.store.apply(&batch).unwrap();
        b.store.commit().unwrap();
        tb += t.elapsed().as_secs_f64();
        a.store.begin().unwrap();
        let t = Instant::now();
        a.take_receipt(receipt).unwrap();
        a.store.commit().unwrap();
        tr += t.elapsed().as_secs_f64();
        pos += 256;
        if (round + 1) % (n / 256 / 4).max(1) == 0 {
            let m = ((round + 1) * 256) as f64;
            println!("{m}: submit+apply {:.1} us, outbox {:.1}, receive apply {:.1}, receipt {:.1}", ta / m * 1e6, xa / m * 1e6, tb / m * 1e6, tr / m * 1e6);
        }
    }
    let _: Option<Change> = None;
    println!("{:?}", a.store.counts().unwrap());
    let p = a.store.path().to_owned();
    drop(a);
    let t = Instant::now();
    let s = Sqlite::open(&p, Options::default()).unwrap();
    println!("open {:.1} ms", t.elapsed().as_secs_f64() * 1e3);
    let snap = s.snapshot().unwrap().unwrap();
    println!("snapshot {:.1} ms {}", t.elapsed().as_secs_f64() * 1e3, snap.ledger_size);
    let t = Instant::now();
    println!("{:?} fsck {:.1} s", s.fsck().unwrap(), t.elapsed().as_secs_f64());
}
