//! Launches recorded once and replayed, and the time that a replay takes.

use std::ffi::c_int;
use std::ptr;

use cust::sys;

use super::driver::{RawStream, check};
use super::{Cuda, Prepared};
use crate::error::Result;

/// A CUDA graph of launches, with a stream of its own.
#[derive(Debug)]
pub struct Graph {
    device: Cuda,
    stream: sys::CUstream,
    exec: sys::CUgraphExec,
    events: [sys::CUevent; 2],
}

impl Graph {
    /// Records `launches`, one after another.
    ///
    /// # Errors
    /// What the driver reports; a launch that cannot be captured.
    ///
    /// # Safety
    /// As for [`Prepared::launch`], for every replay.
    pub unsafe fn capture(device: &Cuda, launches: &[&Prepared]) -> Result<Graph> {
        // SAFETY: the caller's.
        unsafe {
            Self::record(device, |stream| {
                launches.iter().try_for_each(|prepared| prepared.launch(stream))
            })
        }
    }

    /// Records what `launch` puts on the stream that it is given.
    ///
    /// # Errors
    /// What the driver reports; what `launch` reports.
    ///
    /// # Safety
    /// What `launch` puts on the stream may run again at every replay.
    pub unsafe fn record(
        device: &Cuda,
        launch: impl FnOnce(RawStream) -> Result<()>,
    ) -> Result<Graph> {
        device.enter()?;
        let name = device.name();
        let done = |action: &str, status: sys::CUresult| check(name, action, status as c_int);
        let mut graph = Graph {
            device: device.clone(),
            stream: ptr::null_mut(),
            exec: ptr::null_mut(),
            events: [ptr::null_mut(); 2],
        };
        // SAFETY: every handle is made here before it is used; the launches are the caller's.
        unsafe {
            done("creating a stream", sys::cuStreamCreate(&mut graph.stream, 1))?;
            for event in &mut graph.events {
                done("creating an event", sys::cuEventCreate(event, 0))?;
            }
            let mode = sys::CUstreamCaptureMode_enum::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
            done("starting a capture", sys::cuStreamBeginCapture_v2(graph.stream, mode))?;
            let launched = launch(graph.stream.cast());
            let mut recorded = ptr::null_mut();
            let ended = sys::cuStreamEndCapture(graph.stream, &mut recorded);
            launched?;
            done("ending a capture", ended)?;
            let made = sys::cuGraphInstantiateWithFlags(&mut graph.exec, recorded, 0);
            done("destroying a recording", sys::cuGraphDestroy(recorded))?;
            done("instantiating a graph", made)?;
        }
        Ok(graph)
    }

    /// Replays once, waits, and gives the milliseconds between the replay's beginning and end on
    /// the device.
    ///
    /// # Errors
    /// What the driver reports, of the kernels too.
    pub fn replay(&self) -> Result<f32> {
        self.device.enter()?;
        let name = self.device.name();
        let done = |action: &str, status: sys::CUresult| check(name, action, status as c_int);
        let mut milliseconds = 0.0;
        // SAFETY: the handles are live; what the kernels need is promised at the capture.
        unsafe {
            done("recording an event", sys::cuEventRecord(self.events[0], self.stream))?;
            done("launching a graph", sys::cuGraphLaunch(self.exec, self.stream))?;
            done("recording an event", sys::cuEventRecord(self.events[1], self.stream))?;
            done("running the kernels", sys::cuStreamSynchronize(self.stream))?;
            let [from, to] = self.events;
            done("timing", sys::cuEventElapsedTime(&mut milliseconds, from, to))?;
        }
        Ok(milliseconds)
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        // Nothing can be done about a failure here, and the handles may be null.
        if self.device.enter().is_err() {
            return;
        }
        // SAFETY: each handle is this graph's own, and used no more.
        unsafe {
            if !self.exec.is_null() {
                let _ = sys::cuGraphExecDestroy(self.exec);
            }
            for event in self.events.into_iter().filter(|event| !event.is_null()) {
                let _ = sys::cuEventDestroy_v2(event);
            }
            if !self.stream.is_null() {
                let _ = sys::cuStreamDestroy_v2(self.stream);
            }
        }
    }
}
