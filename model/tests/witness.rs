//! The base protocol once more, as a Promela model written from the prose: `docs/witness/`. Both models are explored
//! within the same bounds, and what must agree however a model is written is compared.
#![expect(clippy::expect_used, reason = "a test may")]

use colo_model::{Action, Bounds, Budgets, Limits, Packed, Pair, State, Verdict, check};
use colo_protocol::{FailoverDeferral, NodeName, Property, ReleasePoint, Rules};
use stateright::Model;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::env;
use std::fmt::{self, Debug};
use std::fs;
use std::io;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

/// The properties that the witness judges, too.
const JUDGED: [Property; 4] = [
    Property::OutputCommit,
    Property::SingleServer,
    Property::CheckpointAtomicity,
    Property::NoErrorWithoutFault,
];

/// Visible steps are counted as far as this, then twice as far, until every way that is looked for is found.
const FIRST_CAP: u32 = 12;

/// Beyond this the witness does not count.
const LAST_CAP: u32 = 200;

/// What both models say of one variant within one set of bounds.
#[derive(PartialEq, Eq, Debug)]
struct Told {
    /// Of every reachable state both phases and the kinds of what is on the link; then, behind a bar, what can be told
    /// of the VMs and the world.
    projections: BTreeSet<String>,
    /// The properties that are broken, with the fewest visible steps that break them.
    broken: BTreeMap<&'static str, u32>,
}

/// A variant of the protocol, by the choices that the witness knows.
#[derive(Clone, Copy)]
struct Variant {
    name: &'static str,
    release: ReleasePoint,
    deferral: FailoverDeferral,
}

const VARIANTS: [Variant; 6] = {
    use FailoverDeferral::{FromReceived, Never, WhileLoading};
    use ReleasePoint::{AfterLoaded, AfterReceived, AtSuspend};
    const fn variant(name: &'static str, release: ReleasePoint, deferral: FailoverDeferral) -> Variant {
        Variant { name, release, deferral }
    }
    [
        variant("v12", AfterReceived, FromReceived),
        variant("late-release", AfterLoaded, WhileLoading),
        variant("release-at-suspend", AtSuspend, FromReceived),
        variant("gap-before-the-lock", AfterReceived, WhileLoading),
        variant("failover-while-loading", AfterReceived, Never),
        variant("late-and-never-deferred", AfterLoaded, Never),
    ]
};

impl Variant {
    fn rules(self) -> Rules {
        Rules { release: self.release, deferral: self.deferral, ..Rules::V12 }
    }
}

/// How often each may happen: the bounds that both models know.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Often {
    checkpoints: u8,
    outputs: u8,
    crashes: u8,
    cuts: u8,
    suspicions: u8,
}

const fn often(checkpoints: u8, outputs: u8, crashes: u8, cuts: u8, suspicions: u8) -> Often {
    Often { checkpoints, outputs, crashes, cuts, suspicions }
}

const BOUNDS: [Often; 4] = [often(2, 1, 1, 1, 0), often(3, 2, 1, 1, 0), TELLING, often(1, 1, 2, 1, 2)];

/// The bounds within which no two variants look alike.
const TELLING: Often = often(2, 2, 1, 0, 1);

impl fmt::Display for Often {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { checkpoints, outputs, crashes, cuts, suspicions } = self;
        write!(f, "{checkpoints} {outputs} {crashes} {cuts} {suspicions}")
    }
}

impl Often {
    fn bounds(self) -> Bounds {
        let Self { checkpoints, outputs, crashes, cuts, suspicions } = self;
        let budgets = Budgets { outputs, crashes, cuts, wrong_suspicions: suspicions, ..Budgets::default() };
        Bounds { checkpoints: checkpoints.into(), budgets }
    }
}

// ---- The Rust model.

/// A breadth-first search in which only visible steps count.
fn rust_model(pair: &Pair) -> Told {
    let mut nearest: HashMap<Packed, u32> = HashMap::new();
    let mut next: VecDeque<(Packed, u32)> = pair.init_states().into_iter().map(|state| (state, 0)).collect();
    let mut told = Told { projections: BTreeSet::new(), broken: BTreeMap::new() };
    nearest.extend(next.iter().copied());
    while let Some((packed, steps)) = next.pop_front() {
        if nearest[&packed] < steps {
            continue;
        }
        let state = packed.state();
        told.projections.insert(projection(&state));
        for property in JUDGED.into_iter().filter(|property| !packed.holds(*property)) {
            let least = told.broken.entry(property.name()).or_insert(steps);
            *least = steps.min(*least);
        }
        for (action, after) in pair.next_steps(&packed) {
            let seen = is_visible(action, &state, &after.state());
            let steps = steps + u32::from(seen);
            if nearest.get(&after).is_some_and(|known| *known <= steps) {
                continue;
            }
            nearest.insert(after, steps);
            if seen { next.push_back((after, steps)) } else { next.push_front((after, steps)) }
        }
    }
    told
}

/// Whether the outside can see a step: something is put on the link or arrives, a fault, output leaves, a promotion.
fn is_visible(action: Action, before: &State, after: &State) -> bool {
    let put = |name| after.side(name).inbox.len() > before.side(name).inbox.len();
    matches!(action, Action::Deliver(_))
        || NodeName::ALL.into_iter().any(put)
        || before.world.released != after.world.released
        || before.world.promoted != after.world.promoted
        || before.spent.crashes != after.spent.crashes
        || before.spent.cuts != after.spent.cuts
        || before.spent.wrong_suspicions != after.spent.wrong_suspicions
}

impl Told {
    /// How many projections there are to phases and link only.
    fn narrow(&self) -> usize {
        let narrow = self.projections.iter().filter_map(|told| told.split_once(" | "));
        narrow.map(|(narrow, _)| narrow).collect::<BTreeSet<_>>().len()
    }
}

fn projection(state: &State) -> String {
    let phase = |name| {
        let side = state.side(name);
        if side.alive { side.node.machine().phase_name() } else { "dead" }
    };
    let queue = |name| {
        let kinds = state.side(name).inbox.iter().map(kind);
        kinds.fold(String::new(), |queue, kind| queue + " " + &kind)
    };
    let [primary, secondary] = NodeName::ALL.map(phase);
    let [to_primary, to_secondary] = NodeName::ALL.map(queue);
    let in_hand = NodeName::ALL.map(|name| match state.side(name).in_hand {
        Some(in_hand) => kind(&in_hand.operation),
        None => "nothing".to_owned(),
    });
    let connected = NodeName::ALL.map(|name| u8::from(state.side(name).connected));
    let running = NodeName::ALL.map(|name| u8::from(state.side(name).vm.running));
    let promoted = state.world.promoted.map(u8::from);
    let released = state.world.released;
    let vm = state.side(NodeName::Secondary).vm;
    format!(
        "{primary} {secondary} to-primary{to_primary} to-secondary{to_secondary} | \
         in-hand {} {} connected {} {} running {} {} promoted {} {} released {} {} ram {} devices {}",
        in_hand[0],
        in_hand[1],
        connected[0],
        connected[1],
        running[0],
        running[1],
        promoted[0],
        promoted[1],
        released[0],
        released[1],
        vm.ram.checkpoint,
        vm.devices.checkpoint,
    )
}

/// What a packet or an operation is, without what it carries: the innermost variant's name in kebab case.
fn kind<T: Debug>(what: &T) -> String {
    let told = format!("{what:?}");
    let told = told.strip_prefix("Message(").unwrap_or(&told);
    let mut kind = String::new();
    for letter in told.chars().take_while(char::is_ascii_alphabetic) {
        if letter.is_ascii_uppercase() && !kind.is_empty() {
            kind.push('-');
        }
        kind.push(letter.to_ascii_lowercase());
    }
    kind
}

// ---- The witness.

/// The verifier of one variant within one set of bounds.
struct Verifier {
    directory: PathBuf,
}

impl Verifier {
    fn build(variant: Variant, often: Often, directory: PathBuf) -> Self {
        fs::create_dir_all(&directory).expect("a directory to work in");
        let release = match variant.release {
            ReleasePoint::AtSuspend => "AT_SUSPEND",
            ReleasePoint::AfterReceived => "AFTER_RECEIVED",
            ReleasePoint::AfterLoaded => "AFTER_LOADED",
        };
        let deferral = match variant.deferral {
            FailoverDeferral::Never => "NEVER",
            FailoverDeferral::WhileLoading => "WHILE_LOADING",
            FailoverDeferral::FromReceived => "FROM_RECEIVED",
        };
        let choices = [
            format!("-DRELEASE={release}"),
            format!("-DDEFERRAL={deferral}"),
            format!("-DCHECKPOINTS={}", often.checkpoints),
            format!("-DOUTPUTS={}", often.outputs),
            format!("-DCRASHES={}", often.crashes),
            format!("-DCUTS={}", often.cuts),
            format!("-DSUSPICIONS={}", often.suspicions),
        ];
        let model = witness().join("colo.pml");
        // -o1, -o2, -o3: no statement is merged, no variable taken for dead.
        run(Command::new("spin").args(["-o1", "-o2", "-o3"]).args(choices).arg("-a").arg(model), &directory);
        let options = ["-O0", "-w", "-DSAFETY", "-DNOREDUCE", "-DMEMLIM=2048", "-o", "pan", "pan.c"];
        run(Command::new("cc").args(options), &directory);
        Self { directory }
    }

    /// One run of the verifier, and the lines that it wrote.
    fn run(&self, cap: Option<u32>) -> Vec<String> {
        let mut command = Command::new("./pan");
        command.args(["-E", "-m1000000", "-w20"]).env("COLO_OUT", "told").env_remove("COLO_VISIBLE");
        if let Some(cap) = cap {
            command.env("COLO_VISIBLE", cap.to_string());
        }
        let said = run(&mut command, &self.directory);
        let cut_short = ["max search depth too small", "Search not completed"];
        let complete = said.contains("errors: 0") && !cut_short.iter().any(|sign| said.contains(sign));
        assert!(complete, "the verifier did not see everything:\n{said}");
        let told = fs::read_to_string(self.directory.join("told")).expect("what the verifier wrote");
        told.lines().map(str::to_owned).collect()
    }

    fn tell(&self) -> Told {
        let lines = self.run(None);
        let projections = lines.iter().filter_map(|line| line.strip_prefix("state ")).map(str::to_owned);
        let projections = projections.collect();
        let found = broken(&lines, u32::MAX);
        let mut cap = FIRST_CAP;
        let mut shortest = BTreeMap::new();
        while shortest.len() < found.len() {
            assert!(cap < LAST_CAP, "broken, but not in {cap} visible steps: {found:?} {shortest:?}");
            shortest = broken(&self.run(Some(cap)), cap);
            cap *= 2;
        }
        Told { projections, broken: shortest }
    }
}

/// The properties that these lines say are broken, with the fewest visible steps, no more than `most`.
fn broken(lines: &[String], most: u32) -> BTreeMap<&'static str, u32> {
    let mut broken = BTreeMap::new();
    for told in lines.iter().filter_map(|line| line.strip_prefix("broken ")) {
        let (steps, name) = told.split_once(' ').expect("steps and a name");
        let steps: u32 = steps.parse().expect("a number of steps");
        let property = Property::from_name(name).expect("the name of a property");
        if steps <= most {
            let least = broken.entry(property.name()).or_insert(steps);
            *least = steps.min(*least);
        }
    }
    broken
}

/// Where the witness lives.
fn witness() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/witness")
}

/// What a command said, if all went well.
fn run(command: &mut Command, directory: &Path) -> String {
    let output = command.current_dir(directory).output().expect("a command that was there before");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed:\n{said}{complained}");
    said
}

/// The first tool that is not there.
fn missing() -> Option<&'static str> {
    let tools = [("spin", "-V"), ("cc", "--version")];
    let absent = |tool: &(&str, &str)| match Command::new(tool.0).arg(tool.1).output() {
        Ok(_) => false,
        Err(error) => {
            assert_eq!(error.kind(), io::ErrorKind::NotFound, "{}: {error}", tool.0);
            true
        }
    };
    tools.into_iter().find(absent).map(|(tool, _)| tool)
}

// ---- The comparison.

/// What came of one variant within one set of bounds.
struct Compared {
    witness: Told,
    model: Told,
    /// What `check` says is broken.
    violated: BTreeSet<&'static str>,
}

impl Compared {
    fn of(variant: Variant, often: Often) -> Self {
        let (rules, bounds) = (variant.rules(), often.bounds());
        let place = format!("{} {often}", variant.name).replace(' ', "-");
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("witness").join(place);
        let witness = Verifier::build(variant, often, directory).tell();
        let model = rust_model(&Pair { rules, bounds });
        let check = check(&rules, &bounds, &Limits::default());
        assert!(check.complete);
        let judged = check.properties.iter().filter(|report| JUDGED.contains(&report.property));
        let violated = judged.filter(|report| report.verdict == Verdict::Violated);
        let violated = violated.map(|report| report.property.name()).collect();
        Self { witness, model, violated }
    }

    fn agree(&self) -> bool {
        let verdicts: BTreeSet<_> = self.witness.broken.keys().copied().collect();
        verdicts == self.violated && self.witness == self.model
    }

    /// A row of the table in the witness's README.
    fn row(&self, variant: Variant, often: Often) -> String {
        let Self { witness, model, .. } = self;
        let broken: Vec<_> =
            witness.broken.iter().map(|(name, steps)| format!("{name} in {steps}")).collect();
        let broken = if broken.is_empty() { "nothing".to_owned() } else { broken.join(", ") };
        let narrow = format!("{} / {}", witness.narrow(), model.narrow());
        let wide = format!("{} / {}", witness.projections.len(), model.projections.len());
        format!("| `{}` | {often} | {narrow} | {wide} | {broken} |", variant.name)
    }

    /// In what they differ.
    fn disagreement(&self) -> String {
        let Self { witness, model, violated } = self;
        let only = |here: &Told, there: &Told| {
            let only: Vec<_> = here.projections.difference(&there.projections).cloned().collect();
            format!("{} states\n  {}", only.len(), only[..only.len().min(8)].join("\n  "))
        };
        format!(
            "broken: witness {:?}, model {:?}, check {violated:?}\nonly the witness has {}\nonly the model has {}",
            witness.broken,
            model.broken,
            only(witness, model),
            only(model, witness),
        )
    }
}

/// Every case, on as many threads as there are processors.
fn compare(cases: &[(Variant, Often)]) -> Vec<Compared> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let share = cases.len().div_ceil(threads);
    let all = |cases: &[(Variant, Often)]| -> Vec<_> {
        cases.iter().map(|(variant, often)| Compared::of(*variant, *often)).collect()
    };
    thread::scope(|scope| {
        let shares: Vec<_> = cases.chunks(share).map(|cases| scope.spawn(move || all(cases))).collect();
        shares.into_iter().flat_map(|share| share.join().expect("a comparison")).collect()
    })
}

/// A comparison in which all say the same of every variant would see nothing.
fn assert_told_apart(cases: &[(Variant, Often)], compared: &[Compared]) {
    let told = cases.iter().zip(compared).filter(|((_, often), _)| *often == TELLING);
    let told: Vec<_> = told.map(|((variant, _), compared)| (variant.name, &compared.witness)).collect();
    for (at, (one, said)) in told.iter().enumerate() {
        for (other, also_said) in &told[..at] {
            assert!(said != also_said, "the witness says the same of {one} and {other}");
        }
    }
}

#[test]
fn a_second_model_written_from_the_prose_says_the_same() {
    if let Some(tool) = missing() {
        assert!(
            env::var_os("COLO_REQUIRE_SPIN").is_none(),
            "COLO_REQUIRE_SPIN is set, and there is no {tool}"
        );
        eprintln!(
            "!! there is no {tool}: the witness in docs/witness/ was NOT heard, nothing is compared here"
        );
        return;
    }
    let cases: Vec<_> =
        VARIANTS.into_iter().flat_map(|variant| BOUNDS.map(|often| (variant, often))).collect();
    let compared = compare(&cases);
    let mut wrong = Vec::new();
    let readme = fs::read_to_string(witness().join("README.md")).expect("the witness's README");
    for ((variant, often), compared) in cases.iter().zip(&compared) {
        let row = compared.row(*variant, *often);
        eprintln!("{row}");
        if !compared.agree() {
            wrong.push(format!("{row}\n{}\n", compared.disagreement()));
        } else if !readme.contains(&row) {
            wrong.push(format!("not in docs/witness/README.md: {row}"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert_told_apart(&cases, &compared);
}
