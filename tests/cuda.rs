//! What the CUDA backend promises, on a device: graphs, streams, threads, no leak, and bad input that
//! is refused in words and leaves the context usable.
//!
//! Built with `cargo test -p nvfp4-dual-gemm-tests --features cuda --test cuda --no-run`; the program
//! that this makes needs nothing but a driver and a device.

// Launching is unsafe: these tests keep the promises that it asks for, as each call says.
#![allow(unsafe_code)]

#[path = "cuda/groups.rs"]
mod groups;

use std::ptr;

use cust::sys;
use nvfp4_dual_gemm::backend::Backend;
use nvfp4_dual_gemm::backend::cuda::driver::RawStream;
use nvfp4_dual_gemm::backend::cuda::{Buffer, Cuda, Graph, Prepared, Tensors};
use nvfp4_dual_gemm::{ActivationType, OutputType, Plan, Problem};
use nvfp4_dual_gemm_tests::data::{DataKind, Inputs, Shape};
use nvfp4_dual_gemm_tests::judge::Expected;

/// A problem whose tensors lie on the device.
struct OnDevice {
    device: Cuda,
    problem: Problem,
    expected: Expected,
    /// A, B1, B2, SFA, SFB1, SFB2, C.
    buffers: [Buffer; 7],
}

impl OnDevice {
    fn new(shape: Shape, seed: u64) -> OnDevice {
        let inputs = Inputs::new(DataKind::Quantised, shape, seed);
        let problem = inputs.problem(shape, OutputType::F16);
        let views = inputs.views();
        let expected = Expected::reference_only(&problem, &views).unwrap();
        let mut device = Cuda::new(0).unwrap();
        let c = vec![0xff; problem.check().unwrap().c];
        let tensors = [views.a, views.b1, views.b2, views.sfa, views.sfb1, views.sfb2, &c];
        let buffers = tensors.map(|bytes| {
            let mut buffer = device.alloc("tensor", bytes.len()).unwrap();
            device.upload(&mut buffer, bytes).unwrap();
            buffer
        });
        OnDevice { device, problem, expected, buffers }
    }

    fn plan(&self) -> Plan {
        self.device.plan(&self.problem).unwrap()
    }

    fn tensors(&self) -> Tensors {
        let [a, b1, b2, sfa, sfb1, sfb2, c] =
            self.buffers.each_ref().map(|b| self.device.address(b));
        Tensors { a, b1, b2, sfa, sfb1, sfb2, c }
    }

    fn prepare(&self) -> Prepared {
        self.device.prepare(&self.plan(), &self.tensors()).unwrap()
    }

    fn poison(&mut self) {
        let c = &mut self.buffers[6];
        self.device.upload(c, &vec![0xff; self.problem.check().unwrap().c]).unwrap();
    }

    fn c(&mut self) -> Vec<u16> {
        let mut bytes = vec![0; self.problem.check().unwrap().c];
        self.device.download(&self.buffers[6], &mut bytes).unwrap();
        bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect()
    }

    /// Asks for the right C, and returns its bits.
    fn judged(&mut self) -> Vec<u16> {
        let c = self.c();
        let verdict = self.expected.judge(&c);
        assert!(verdict.passed(), "{verdict:?}");
        c
    }

    /// One launch on the default stream, from preparing to the right result: the context is usable.
    fn still_works(&mut self) {
        self.poison();
        let prepared = self.prepare();
        let stream = Stream::new();
        // SAFETY: the tensors live until the stream has been waited for, and nobody else uses them.
        unsafe { prepared.launch(stream.0).unwrap() };
        stream.wait();
        self.judged();
    }
}

/// A stream of the current context.
struct Stream(RawStream);

impl Stream {
    fn new() -> Stream {
        let mut stream = ptr::null_mut();
        // SAFETY: writes one handle.
        let status = unsafe { sys::cuStreamCreate(&mut stream, 1) };
        assert_eq!(status as u32, 0);
        Stream(stream.cast())
    }

    fn wait(&self) {
        // SAFETY: the stream is live.
        let status = unsafe { sys::cuStreamSynchronize(self.0.cast()) };
        assert_eq!(status as u32, 0);
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // SAFETY: the handle is this value's own.
        unsafe { sys::cuStreamDestroy_v2(self.0.cast()) };
    }
}

/// Free bytes of the device.
fn free() -> usize {
    let (mut free, mut total) = (0, 0);
    // SAFETY: writes two numbers.
    let status = unsafe { sys::cuMemGetInfo_v2(&mut free, &mut total) };
    assert_eq!(status as u32, 0);
    free
}

/// One after another: free memory is the device's, not a test's.
static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());

fn alone() -> std::sync::MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[test]
fn a_graph_replays_with_what_the_inputs_hold_then() {
    let _alone = alone();
    let mut here = OnDevice::new((37, 264, 1056, 2), 1);
    let prepared = here.prepare();
    // SAFETY: the buffers outlive the graph.
    let graph = unsafe { Graph::capture(&here.device, &[&prepared]).unwrap() };
    graph.replay().unwrap();
    let first = here.judged();
    here.poison();
    graph.replay().unwrap();
    assert_eq!(here.judged(), first, "two replays differ");

    // Other activations in the same place: the replay reads them.
    let other = Inputs::new(DataKind::Quantised, (37, 264, 1056, 2), 2);
    let here_first = Inputs::new(DataKind::Quantised, (37, 264, 1056, 2), 1);
    let mixed = nvfp4_dual_gemm::Inputs {
        a: other.views().a,
        sfa: other.views().sfa,
        ..here_first.views()
    };
    here.expected = Expected::reference_only(&here.problem, &mixed).unwrap();
    for (index, bytes) in [(0, mixed.a), (3, mixed.sfa)] {
        here.device.upload(&mut here.buffers[index], bytes).unwrap();
    }
    graph.replay().unwrap();
    assert_ne!(here.judged(), first);
}

#[test]
fn two_streams_at_once() {
    let _alone = alone();
    let mut both = [OnDevice::new((64, 1024, 2048, 1), 3), OnDevice::new((300, 520, 1056, 1), 4)];
    let prepared = both.each_ref().map(OnDevice::prepare);
    let streams = [Stream::new(), Stream::new()];
    for _ in 0..50 {
        for (prepared, stream) in prepared.iter().zip(&streams) {
            // SAFETY: each has tensors and a stream of its own; both are waited for below.
            unsafe { prepared.launch(stream.0).unwrap() };
        }
    }
    for (here, stream) in both.iter_mut().zip(&streams) {
        stream.wait();
        here.judged();
    }
}

#[test]
fn several_threads_at_once() {
    let _alone = alone();
    std::thread::scope(|scope| {
        for seed in 0..4 {
            scope.spawn(move || {
                let mut here = OnDevice::new((16 + seed as usize, 520, 1056, 1), seed);
                let prepared = here.prepare();
                let stream = Stream::new();
                for _ in 0..50 {
                    // SAFETY: tensors and stream are this thread's own and waited for below.
                    unsafe { prepared.launch(stream.0).unwrap() };
                }
                stream.wait();
                here.judged();
            });
        }
    });
}

#[test]
fn ten_thousand_launches_leak_nothing() {
    let _alone = alone();
    let mut here = OnDevice::new((8, 264, 1056, 1), 5);
    let prepared = here.prepare();
    let stream = Stream::new();
    let launch = |count: usize| {
        for i in 0..count {
            // SAFETY: runs on one stream follow each other; waited for below.
            unsafe { prepared.launch(stream.0).unwrap() };
            if i % 500 == 499 {
                stream.wait();
            }
        }
        stream.wait();
    };
    launch(100);
    let before = free();
    let start = std::time::Instant::now();
    launch(10_000);
    let each = start.elapsed().as_secs_f64() * 1e6 / 1e4;
    assert_eq!(free(), before, "bytes free after 10,000 launches, and before");
    println!("10,000 launches: {each:.2} µs each, device and host together");
    here.judged();
}

#[test]
fn preparing_a_thousand_times_leaks_nothing() {
    let _alone = alone();
    let mut here = OnDevice::new((8, 264, 1056, 1), 6);
    for _ in 0..20 {
        here.prepare();
    }
    let before = free();
    for _ in 0..1000 {
        here.prepare();
    }
    assert_eq!(free(), before, "bytes free after 1,000 plans were prepared and dropped");
    here.still_works();
}

#[test]
fn the_cpu_time_of_a_launch() {
    let _alone = alone();
    let here = OnDevice::new((8, 264, 1056, 1), 5);
    let prepared = here.prepare();
    let stream = Stream::new();
    let mut fastest = f64::INFINITY;
    for _ in 0..50 {
        let start = std::time::Instant::now();
        for _ in 0..100 {
            // SAFETY: as above.
            unsafe { prepared.launch(stream.0).unwrap() };
        }
        fastest = fastest.min(start.elapsed().as_secs_f64() * 1e4);
        stream.wait();
    }
    println!("launch(): {fastest:.2} µs of CPU time (best of 50 batches of 100)");
    assert!(fastest.is_finite());
}

#[test]
fn bad_tensors_are_refused_and_the_context_lives() {
    let _alone = alone();
    let mut here = OnDevice::new((5, 136, 544, 1), 7);
    let plan = here.plan();
    let good = here.tensors();
    let refused = |tensors: Tensors, parts: &[&str]| {
        let text = here.device.prepare(&plan, &tensors).unwrap_err().to_string();
        assert!(parts.iter().all(|part| text.contains(part)), "{parts:?} not in: {text}");
    };
    refused(Tensors { a: 0, ..good }, &["a", "null"]);
    refused(Tensors { b1: good.b1 + 8, ..good }, &["b1", "multiple of 16"]);
    refused(Tensors { sfb2: 0x10, ..good }, &["sfb2", "device memory"]);
    refused(Tensors { c: good.a, ..good }, &["apart from c"]);
    // The last 16 bytes of an allocation are not a whole tensor.
    let bytes = plan.problem.check().unwrap().b as u64;
    refused(Tensors { b2: good.b2 + bytes / 16 * 16 - 16, ..good }, &["b2", "allocated"]);
    let host = [0u64; 64];
    let unmapped = host.as_ptr() as u64 / 16 * 16 + 16;
    refused(Tensors { c: unmapped, ..good }, &["c", "device memory"]);
    here.still_works();
}

#[test]
fn a_plan_for_another_device_or_shape_is_refused() {
    let _alone = alone();
    let mut here = OnDevice::new((5, 136, 544, 1), 8);
    let other = match here.plan().arch {
        "sm_90a" => Plan::choose(&here.problem, 148).unwrap(),
        _ => nvfp4_dual_gemm::plan::sm90::choose(&here.problem, 132).unwrap(),
    };
    let text = here.device.prepare(&other, &here.tensors()).unwrap_err().to_string();
    assert!(text.contains(other.arch) && text.contains("Cuda::plan"), "{text}");
    // A plan for more rows than the tensors have.
    let larger = here.device.plan(&Problem { m: 4096, ..here.problem }).unwrap();
    let text = here.device.prepare(&larger, &here.tensors()).unwrap_err().to_string();
    assert!(text.contains("allocated"), "{text}");
    assert!(Cuda::new(1000).unwrap_err().to_string().contains("1000"));
    here.still_works();
}

#[test]
fn a_stream_of_another_context_is_refused() {
    let _alone = alone();
    let mut here = OnDevice::new((5, 136, 544, 1), 9);
    let prepared = here.prepare();
    let mut other = ptr::null_mut();
    // SAFETY: makes a context, current in this thread until the next call of the backend.
    assert_eq!(unsafe { sys::cuCtxCreate_v2(&mut other, 0, 0) } as u32, 0);
    let foreign = Stream::new();
    // SAFETY: the stream is live; the launch is refused.
    let text = unsafe { prepared.launch(foreign.0) }.unwrap_err().to_string();
    assert!(text.contains("another context"), "{text}");
    drop(foreign);
    // SAFETY: nothing uses the context any more.
    assert_eq!(unsafe { sys::cuCtxDestroy_v2(other) } as u32, 0);
    here.still_works();
}

#[test]
fn out_of_memory_is_an_error() {
    let _alone = alone();
    let mut here = OnDevice::new((5, 136, 544, 1), 10);
    let text = here.device.alloc("everything", 1 << 46).unwrap_err().to_string();
    assert!(text.contains("everything") && text.contains("70368744177664"), "{text}");
    here.still_works();
}

#[test]
fn a_context_that_another_library_made_is_used() {
    let _alone = alone();
    let mut primary = ptr::null_mut();
    // SAFETY: retains the primary context of device 0, as any library does.
    unsafe {
        assert_eq!(sys::cuInit(0) as u32, 0);
        assert_eq!(sys::cuDevicePrimaryCtxRetain(&mut primary, 0) as u32, 0);
        assert_eq!(sys::cuCtxSetCurrent(primary) as u32, 0);
    }
    let mut here = OnDevice::new((5, 136, 544, 1), 11);
    // A stream that the other library made in it.
    let stream = Stream::new();
    let prepared = here.prepare();
    // SAFETY: as above.
    unsafe { prepared.launch(stream.0).unwrap() };
    stream.wait();
    here.judged();
    let mut current = ptr::null_mut();
    // SAFETY: reads the current context; releases what was retained above.
    unsafe {
        assert_eq!(sys::cuCtxGetCurrent(&mut current) as u32, 0);
        assert_eq!(current, primary, "the primary context was replaced");
        assert_eq!(sys::cuDevicePrimaryCtxRelease_v2(0) as u32, 0);
    }
}

#[test]
fn sixteen_bit_activations_need_no_scales() {
    let _alone = alone();
    let shape = (9, 136, 544, 1);
    let inputs = Inputs::new(DataKind::Quantised, shape, 12);
    let problem = inputs.problem(shape, OutputType::F16).with_activations(ActivationType::F16);
    let a = inputs.sixteen_bit_a(problem.k, ActivationType::F16, 1);
    let views = nvfp4_dual_gemm::Inputs { a: &a, sfa: &[], ..inputs.views() };
    let mut here = OnDevice::new(shape, 12);
    here.problem = problem;
    here.expected = Expected::reference_only(&problem, &views).unwrap();
    here.buffers[0] = here.device.alloc("a", a.len()).unwrap();
    here.device.upload(&mut here.buffers[0], &a).unwrap();
    let prepared =
        here.device.prepare(&here.plan(), &Tensors { sfa: 0, ..here.tensors() }).unwrap();
    let stream = Stream::new();
    // SAFETY: as above.
    unsafe { prepared.launch(stream.0).unwrap() };
    stream.wait();
    here.judged();
}
