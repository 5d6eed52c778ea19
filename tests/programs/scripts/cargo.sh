# cargo: a small crate with a library, threads and tests
set -eu
cargo new --quiet --vcs none summing
cd summing
cat > src/lib.rs <<'R'
pub fn sum(upto: u64) -> u64 {
    let parts: Vec<_> = (0..4).map(|part| std::thread::spawn(move || (part..upto).step_by(4).sum::<u64>())).collect();
    parts.into_iter().map(|part| part.join().unwrap()).sum()
}
#[test]
fn sums() { assert_eq!(sum(1000), 499500); }
#[test]
#[should_panic]
fn panics() { panic!("as it should"); }
R
echo 'fn main() { println!("{}", summing::sum(10_000)); std::process::exit(9) }' > src/main.rs
cargo build --quiet --offline
status=0; cargo run --quiet --offline || status=$?
echo "ended $status"
cargo test --quiet --offline --lib 2>/dev/null | grep -o 'test result: ok. 2 passed'
touch src/main.rs
cargo build --offline 2>&1 | sed -n "s| (.*||; /Compiling/p"
