//! Global memory: the accesses of a cluster, and, where clusters run by turns because they talk to
//! each other, of all of them; and what strong accesses hand over from one thread to another.

use super::{Checked, Detector, Path, Place, Record};
use crate::decode::op::{Order, Scope};
use crate::error::{Actor, Fault, FaultKind};
use crate::machine::clock::{Agent, Clock, Others};
use crate::machine::global::GlobalMemory;
use crate::machine::lines::{ByNumber, Conflict, Footprint, Image, LINE, Lines};
use crate::machine::shadow::SEVERAL_LANES;
use crate::machine::warp::each;

/// The launch before one that may begin while that still runs.
#[derive(Debug)]
pub struct Before {
    /// What it touched.
    pub footprint: Footprint,
    /// Its shape.
    pub place: Place,
    /// Warps of its clusters.
    pub warps: u32,
}

/// What is remembered of global memory.
#[derive(Debug, Default)]
pub struct Global {
    /// The accesses.
    pub lines: Lines,
    /// What strong writes have left, by word.
    flags: ByNumber<Flag>,
}

/// What the writes to one word have handed over.
#[derive(Debug, Default)]
struct Flag {
    /// To every thread of the device.
    all: Others,
    /// To threads of the same cluster.
    near: Vec<(u32, Clock)>,
}

/// What an instruction does at its addresses, as far as order goes.
#[derive(Debug, Clone, Copy)]
pub struct Access {
    /// How.
    pub path: Path,
    /// Whether it reads and hands on what it finds.
    pub reads: bool,
    /// Whether it writes.
    pub writes: bool,
    /// Its order, where it is strong.
    pub order: Order,
    /// Its scope, where it is strong.
    pub scope: Scope,
}

impl Access {
    /// A weak load, or store.
    pub fn weak(path: Path, writes: bool) -> Self {
        Access { path, reads: !writes, writes, order: Order::Weak, scope: Scope::Sys }
    }
}

/// The longest access of one lane: eight 64-bit elements or two of 128 bits.
pub const MAX_BYTES: usize = 64;

/// What an instruction writes, as far as that is known.
#[derive(Debug, Clone, Copy)]
pub enum Values<'a> {
    /// Nothing is.
    Unknown,
    /// A value of up to 8 bytes a lane.
    Scalars(&'a [u64; 32]),
    /// Bytes of each lane.
    Bytes(&'a [[u8; MAX_BYTES]; 32]),
}

impl Values<'_> {
    /// Notes what a lane writes to a line; whether that is known.
    #[inline]
    fn note(&self, image: &mut Image, at: usize, lane: u32, width: u32) -> bool {
        match self {
            Values::Unknown => return false,
            Values::Scalars(all) => {
                image.set(at, &all[lane as usize].to_le_bytes()[..width as usize]);
            }
            Values::Bytes(all) => image.set(at, &all[lane as usize][..width as usize]),
        }
        true
    }
}

fn reach(scope: Scope) -> u16 {
    match scope {
        Scope::Cta => 0,
        Scope::Cluster => 1,
        Scope::Gpu => 2,
        Scope::Sys => 3,
    }
}

impl Detector {
    /// A `fence.acq_rel` or `.sc`: what was met is known, what is known may be handed over.
    pub fn thread_fence(&mut self, scope: Scope) {
        let known = &mut self.me().known;
        known.seen.join(&known.glimpsed);
        if matches!(scope, Scope::Gpu | Scope::Sys) {
            known.handed.join(&known.seen);
        } else {
            known.near.join(&known.seen);
        }
        self.tick();
    }

    /// `griddepcontrol.wait`: the launch before has ended.
    pub fn dependency_wait(&mut self) {
        let before = self.places.len() as Agent;
        self.me().known.seen.raise(before, 1);
    }

    /// `fence.proxy.tensormap::generic.acquire`.
    pub fn map_fence(&mut self) {
        let known = &mut self.me().known;
        known.seen.join(&known.glimpsed);
        known.mapped.join(&known.seen);
        self.tick();
    }

    /// An instruction's accesses to global memory, `width` bytes for each lane; lanes of `silent` wrote
    /// what was there.
    pub fn global_lanes(
        &mut self,
        access: Access,
        addresses: &[u64; 32],
        (lanes, silent): (u32, u32),
        (width, values): (u32, Values<'_>),
        by: Actor,
        memory: &GlobalMemory,
    ) -> Checked {
        let strong = access.order != Order::Weak;
        if strong {
            for lane in each(lanes) {
                self.strong_global(access, addresses[lane as usize], width);
            }
        }
        let mut record = self.record(access.path, access.writes, by);
        record.key = self.place.index;
        if strong {
            record.mask = reach(access.scope);
        }
        // Lanes that share a line are one access, as they are for the memory.
        let mut open: Option<(u64, bool, u128)> = None;
        let mut image = Image::default();
        let mut known = false;
        for lane in each(lanes) {
            let address = addresses[lane as usize];
            let (line, quiet) = (address / LINE, silent >> lane & 1 == 1);
            let bytes = (u128::MAX >> (128 - width)) << (address % LINE);
            match &mut open {
                Some((at, still, mask)) if (*at, *still) == (line, quiet) => {
                    *mask |= bytes;
                    record.lane = SEVERAL_LANES;
                }
                _ => {
                    if let Some((at, still, mask)) = open {
                        record.silent = still;
                        self.touch_line(at, mask, &record, known.then_some(&image), by, memory)
                            .map_err(|fault| name_lane(fault, addresses, lanes, width))?;
                        if known {
                            image = Image::default();
                        }
                    }
                    open = Some((line, quiet, bytes));
                    record.lane = lane as u8;
                }
            }
            if access.writes {
                known = values.note(&mut image, (address % LINE) as usize, lane, width);
            }
        }
        if let Some((at, still, mask)) = open {
            record.silent = still;
            self.touch_line(at, mask, &record, known.then_some(&image), by, memory)
                .map_err(|fault| name_lane(fault, addresses, lanes, width))?;
        }
        if strong && access.writes {
            self.tick();
        }
        Ok(())
    }

    /// A contiguous access by, or on behalf of, one thread; of a write also the bytes, if they are known.
    pub fn global_range(
        &mut self,
        record: &Record,
        (start, len): (u64, u32),
        values: Option<&[u8]>,
        by: Actor,
        memory: &GlobalMemory,
    ) -> Checked {
        let mut record = Record { key: self.place.index, ..*record };
        if record.path == Path::BulkReduce {
            record.mask = reach(Scope::Gpu);
        }
        let (mut at, end) = (start, start + u64::from(len));
        while at < end {
            let stop = (at / LINE * LINE + LINE).min(end);
            let bytes = (u128::MAX >> (128 - (stop - at))) << (at % LINE);
            let image = values.map(|values| {
                let mut image = Image::default();
                let part = (at - start) as usize..(stop - start) as usize;
                image.set((at % LINE) as usize, &values[part]);
                image
            });
            self.touch_line(at / LINE, bytes, &record, image.as_ref(), by, memory)?;
            at = stop;
        }
        Ok(())
    }

    /// A record of an access by the warp itself.
    pub fn own_record(&self, path: Path, write: bool, by: Actor) -> Record {
        self.record(path, write, by)
    }

    fn strong_global(&mut self, access: Access, address: u64, width: u32) {
        let own = self.place.index;
        let known = &mut self.warps[self.current as usize].known;
        let acquires = matches!(access.order, Order::Acquire | Order::AcqRel | Order::Sc);
        let releases = matches!(access.order, Order::Release | Order::AcqRel | Order::Sc);
        for word in address / 4..(address + u64::from(width)).div_ceil(4) {
            let flag = self.global.flags.entry(word).or_default();
            if access.reads {
                // Shipped programs poll with relaxed loads and go on without a fence.
                let met = acquires || !self.strict;
                let into = if met { &mut known.seen } else { &mut known.glimpsed };
                into.import(own, &flag.all);
                if let Some((_, near)) = flag.near.iter().find(|(cluster, _)| *cluster == own) {
                    into.join(near);
                }
            }
            if access.writes {
                let wide = matches!(access.scope, Scope::Gpu | Scope::Sys);
                let out = if releases { &known.seen } else { &known.handed };
                if wide {
                    flag.all.join(&out.export(own));
                }
                let near = match flag.near.iter_mut().position(|(cluster, _)| *cluster == own) {
                    Some(at) => &mut flag.near[at].1,
                    None => {
                        flag.near.push((own, Clock::default()));
                        let last = flag.near.len() - 1;
                        &mut flag.near[last].1
                    }
                };
                near.join(out);
                near.join(&known.near);
            }
        }
    }

    fn touch_line(
        &mut self,
        line: u64,
        bytes: u128,
        record: &Record,
        values: Option<&Image>,
        by: Actor,
        memory: &GlobalMemory,
    ) -> Checked {
        let order = Ordered {
            known: &self.warps[self.current as usize].known,
            own: self.place.index,
            warps: self.places.len() as u32 / self.place.cluster.iter().product::<u32>(),
            strict: self.strict,
        };
        if let Some(before) = &self.before
            && order.known.seen.get(self.places.len() as Agent) == 0
            && let Some((byte, old)) = before.footprint.conflict(line, bytes, record.write)
        {
            return Err(too_early(line * LINE + u64::from(byte), record, by, &old, before, memory));
        }
        let found =
            self.global.lines.touch(line, bytes, record, values, |old| order.check(old, record));
        let Err((byte, old)) = found else { return Ok(()) };
        let address = line * LINE + u64::from(byte);
        let why = order.missing(&old, record);
        Err(self.global_race(address, why, record, by, &old, memory))
    }

    #[cold]
    fn global_race(
        &self,
        address: u64,
        why: &str,
        new: &Record,
        by: Actor,
        old: &Record,
        memory: &GlobalMemory,
    ) -> Box<Fault> {
        let verb = |record: &Record| if record.write { "write" } else { "read" };
        let message = format!(
            "{} ({}) of {} after the {} ({}) of line {}{}: {why}",
            verb(new),
            new.path.name(),
            memory.describe(address),
            verb(old),
            old.path.name(),
            old.line,
            if old.key == self.place.index { "" } else { " by another CTA" },
        );
        let lane = by.lane.or((new.lane != SEVERAL_LANES).then_some(new.lane.into()));
        let fault = Fault::new(FaultKind::Race, message).at(address);
        Box::new(fault.by(Actor { lane, ..by }).against(self.foreign(old)))
    }

    /// The party behind a record of any cluster.
    fn foreign(&self, record: &Record) -> Actor {
        party(record, &self.place, self.places.len() as u32)
    }
}

/// The fault of an access to what the launch before still uses.
#[cold]
fn too_early(
    address: u64,
    new: &Record,
    by: Actor,
    old: &Record,
    before: &Before,
    memory: &GlobalMemory,
) -> Box<Fault> {
    let verb = |record: &Record| if record.write { "write" } else { "read" };
    let message = format!(
        "{} ({}) of {} that the launch before may not yet have {} (line {} of its kernel): no \
         griddepcontrol.wait came first",
        verb(new),
        new.path.name(),
        memory.describe(address),
        if old.write { "written" } else { "read" },
        old.line
    );
    let lane = by.lane.or((new.lane != SEVERAL_LANES).then_some(new.lane.into()));
    let fault = Fault::new(FaultKind::Race, message).at(address).by(Actor { lane, ..by });
    Box::new(fault.against(party(old, &before.place, before.warps)))
}

/// Names the lane whose address the fault is about.
fn name_lane(mut fault: Box<Fault>, addresses: &[u64; 32], lanes: u32, width: u32) -> Box<Fault> {
    let at = fault.address.unwrap_or_default();
    let holds = |lane: &u32| at.wrapping_sub(addresses[*lane as usize]) < width.into();
    if let (Some(actor), Some(lane)) = (&mut fault.actor, each(lanes).find(holds)) {
        actor.lane = Some(lane);
    }
    fault
}

/// The party behind a record of global memory, when a cluster has so many warps.
fn party(record: &Record, place: &Place, warps: u32) -> Actor {
    let [x, y, _] = place.clusters;
    let at = [record.key % x, record.key / x % y, record.key / x / y];
    let [inner_x, inner_y, _] = place.cluster;
    let per_cta = (warps / place.cluster.iter().product::<u32>()).max(1);
    let rank = u32::from(record.warp) / per_cta;
    let inner = [rank % inner_x, rank / inner_x % inner_y, rank / inner_x / inner_y];
    Actor {
        cta: std::array::from_fn(|i| at[i] * place.cluster[i] + inner[i]),
        warp: u32::from(record.warp) % per_cta,
        lane: (record.lane != SEVERAL_LANES).then_some(record.lane.into()),
        line: record.line,
    }
}

/// The fault of a conflict between clusters that nothing can have ordered.
pub fn conflict(found: &Conflict, place: &Place, warps: u32, memory: &GlobalMemory) -> Box<Fault> {
    let verb = |record: &Record| if record.write { "write" } else { "read" };
    let message = format!(
        "{} ({}) of {} conflicts with the {} ({}) of line {} by another CTA: the kernel has nothing \
         that could order the two",
        verb(&found.new),
        found.new.path.name(),
        memory.describe(found.address),
        verb(&found.old),
        found.old.path.name(),
        found.old.line
    );
    let fault = Fault::new(FaultKind::Race, message).at(found.address);
    let fault = fault.by(party(&found.new, place, warps)).against(party(&found.old, place, warps));
    Box::new(fault)
}

/// Whether accesses to global memory come before one of this warp.
struct Ordered<'a> {
    known: &'a crate::machine::clock::Clocks,
    own: u32,
    /// Warps of a CTA.
    warps: u32,
    strict: bool,
}

/// A plain read beside an atomic or other strong write: the first look of a compare-and-swap loop, as
/// shipped programs have it. It hands nothing over: what is read next on its word is still a race.
fn is_glance(read: &Record, write: &Record) -> bool {
    !read.write && read.path == Path::Generic && write.write && write.path == Path::Strong
}

impl Ordered<'_> {
    fn has(&self, clock: &Clock, old: &Record) -> bool {
        let events = |agent: Agent| match old.key == self.own {
            true => clock.get(agent),
            false => clock.get_of(old.key, agent),
        };
        events(old.agent) >= old.clock
    }

    /// Whether two strong accesses include each other in their scopes.
    fn mutual(&self, old: &Record, new: &Record) -> bool {
        let strong = |record: &Record| matches!(record.path, Path::Strong | Path::BulkReduce);
        if !strong(old) || !strong(new) {
            return false;
        }
        let scope = old.mask.min(new.mask);
        let cta = |record: &Record| u32::from(record.warp) / self.warps;
        match old.key == new.key {
            true => scope >= reach(Scope::Cluster) || cta(old) == cta(new),
            false => scope >= reach(Scope::Gpu),
        }
    }

    fn needs_proxy_fence(&self, old: &Record, new: &Record) -> bool {
        let crosses = old.path.is_generic() && !new.path.is_generic();
        old.write && crosses && (self.strict || !new.write)
    }

    #[inline]
    fn check(&self, old: &Record, new: &Record) -> bool {
        // Who writes what is there already disturbs no reader. Two writes of the same are looked at by
        // their values.
        let quiet = (old.silent || new.silent) && !(old.write && new.write);
        if quiet || self.mutual(old, new) {
            return true;
        }
        if !self.strict && (is_glance(old, new) || is_glance(new, old)) {
            return true;
        }
        if new.path == Path::NonCoherent && old.write && self.strict {
            return false;
        }
        if !self.has(&self.known.seen, old) {
            return false;
        }
        match new.path {
            Path::TensorMap => !old.path.is_generic() || self.has(&self.known.mapped, old),
            _ if self.needs_proxy_fence(old, new) => self.has(&self.known.fenced_global, old),
            _ => true,
        }
    }

    /// What would have ordered the two.
    #[cold]
    fn missing(&self, old: &Record, new: &Record) -> &'static str {
        let strong = |record: &Record| matches!(record.path, Path::Strong | Path::BulkReduce);
        if self.has(&self.known.seen, old) {
            return match new.path {
                Path::NonCoherent => {
                    "ld.global.nc may read only what no one writes during the launch"
                }
                Path::TensorMap => "a fence.proxy.tensormap::generic.acquire is missing",
                _ => "a fence.proxy.async that covers global memory is missing between the two",
            };
        }
        if self.has(&self.known.glimpsed, old) {
            return "what was read to learn of it was read relaxed, and no fence.acq_rel followed";
        }
        if strong(old) && strong(new) {
            return "the scope of one does not include the other, and no barrier orders the two";
        }
        match (old.path, old.key == self.own) {
            (Path::Bulk | Path::BulkReduce, true) => {
                "no wait for its completion (wait_group without .read, for a store) orders the two"
            }
            (Path::CpAsync, true) => "no wait for the cp.async orders the two",
            (_, true) => "no barrier orders the two",
            (_, false) => {
                "no release there (or fence.acq_rel before a strong write) with an acquire here orders \
                 the two"
            }
        }
    }
}
