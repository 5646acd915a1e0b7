//! A SwiGLU layer's gate and up projections on a CUDA device, from raw device addresses: what an
//! application with tensors of its own, or of candle, cudarc or PyTorch, does.
//!
//! `cargo run --release -p nvfp4-dual-gemm --features cuda --example cuda`

// Launching trusts the caller with device memory, so it is unsafe; see the call.
#![allow(unsafe_code)]

use nvfp4_dual_gemm::backend::Backend;
use nvfp4_dual_gemm::backend::cuda::{Cuda, Tensors};
use nvfp4_dual_gemm::{Inputs, Nvfp4Matrix, Problem, TensorScale, reference};

fn main() -> nvfp4_dual_gemm::Result<()> {
    let (tokens, features, inner) = (4, 256, 512);
    let wave = |count: usize, step: f32| -> Vec<f32> {
        (0..count).map(|i| (i as f32 * step).sin()).collect()
    };
    let quantised = |rows, step| {
        Nvfp4Matrix::quantize(&wave(rows * features, step), rows, features, TensorScale::FromData)
    };
    let (a, gate, up) = (quantised(tokens, 0.1)?, quantised(inner, 0.2)?, quantised(inner, 0.3)?);
    let (sfa, sfb1, sfb2) = (a.blocked_scales(1)?, gate.blocked_scales(1)?, up.blocked_scales(1)?);
    let problem = Problem::new(tokens, inner, features)
        .with_alphas(a.tensor_scale() * gate.tensor_scale(), a.tensor_scale() * up.tensor_scale());

    // Opens the device's primary context, the one that other libraries in the process share, and
    // says in words what is missing: a driver, a device that there are kernels for.
    let mut device = Cuda::new(0)?;
    let plan = device.plan(&problem)?;
    println!("{}\n{plan}", device.name());

    // Device memory, here from the backend; any library's addresses will do.
    let c = vec![0; problem.check()?.c];
    let mut buffers = vec![];
    for bytes in [a.packed(), gate.packed(), up.packed(), &sfa, &sfb1, &sfb2, &c] {
        let mut buffer = device.alloc("tensor", bytes.len())?;
        device.upload(&mut buffer, bytes)?;
        buffers.push(buffer);
    }
    let at = |index: usize| device.address(&buffers[index]);
    let tensors =
        Tensors { a: at(0), b1: at(1), b2: at(2), sfa: at(3), sfb1: at(4), sfb2: at(5), c: at(6) };

    // Once per layer: checks every address, loads the kernel, encodes the tensor maps.
    let prepared = device.prepare(&plan, &tensors)?;
    // Any number of times, on any stream of the context (null: the default one), in a graph too.
    // SAFETY: the buffers live until the download below has waited for the stream, and nothing else
    // uses them.
    unsafe { prepared.launch(std::ptr::null_mut())? };

    let mut bytes = c;
    device.download(&buffers[6], &mut bytes)?;
    let inputs = Inputs {
        a: a.packed(),
        b1: gate.packed(),
        b2: up.packed(),
        sfa: &sfa,
        sfb1: &sfb1,
        sfb2: &sfb2,
    };
    let want = reference::dual_gemm(&problem, &inputs)?.c;
    for (column, want) in want.iter().enumerate().take(4) {
        let bits = u16::from_le_bytes([bytes[2 * column], bytes[2 * column + 1]]);
        println!("C[0, {column}] = {:.4}, in f64 {want:.4}", half::f16::from_bits(bits));
    }
    Ok(())
}
