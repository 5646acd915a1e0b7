//! What the tests of whole programs share: a device, buffers by name, runs under several seeds.
#![allow(dead_code, unreachable_pub, reason = "each test program uses a part of it")]

use ptx_emulator::decode;
use ptx_emulator::error::{Ending, Fault};
use ptx_emulator::run::{Device, Launch, Module, Options, Stats};

/// A device with one module.
pub struct Bench {
    /// The device.
    pub device: Device,
    /// The module.
    pub module: Module,
}

impl Bench {
    /// Loads PTX text, which must be well formed.
    pub fn new(ptx: &str) -> Self {
        let mut device = Device::new();
        let program = decode::program(ptx.as_bytes()).unwrap_or_else(|e| panic!("{e}"));
        let module = device.load(program).unwrap();
        Bench { device, module }
    }

    /// A buffer with this content.
    pub fn buffer(&mut self, name: &str, bytes: &[u8]) -> u64 {
        let address = self.empty(name, bytes.len());
        assert!(self.device.memory.upload(address, bytes));
        address
    }

    /// A buffer that nobody has written.
    pub fn empty(&mut self, name: &str, bytes: usize) -> u64 {
        self.device.memory.allocate(name, bytes, 256)
    }

    /// Content of a buffer, all of which must have been written.
    pub fn read(&self, address: u64, bytes: usize) -> Vec<u8> {
        let back = self.device.memory.read_back(address, bytes).unwrap();
        assert_eq!(back.unwritten, [], "never written");
        back.bytes
    }

    /// Runs an entry.
    pub fn run(&self, launch: &Launch, seed: u64) -> Result<Stats, Ending> {
        let limit = 20_000_000;
        let options = Options { seed, instruction_limit: limit, ..Options::default() };
        self.device.launch(&self.module, launch, &options)
    }
}

/// A launch of one CTA.
pub fn one_cta(entry: &str, threads: u32, dynamic_shared: u32, params: Vec<u8>) -> Launch {
    Launch {
        entry: entry.to_owned(),
        grid: [1; 3],
        block: [threads, 1, 1],
        cluster: None,
        dynamic_shared,
        params,
    }
}

/// 64-bit parameters, one after the other.
pub fn params(values: &[u64]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// The fault of an ending that must be one.
pub fn fault(ending: Ending) -> Fault {
    match ending {
        Ending::Fault(fault) => *fault,
        other => panic!("not a fault: {other}"),
    }
}
