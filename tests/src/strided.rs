//! The contest's ten tensors in device memory of any order, and what C must be.

use nvfp4_dual_gemm::backend::Backend;
use nvfp4_dual_gemm::forms::{Element, Memory, Value, View};
use nvfp4_dual_gemm::grouped::Operation;
use nvfp4_dual_gemm::{OutputType, Problem, Result};

use crate::data::{DataKind, Inputs, Operand, Shape};
use crate::judge::{Expected, Verdict};

/// What fills the gaps between elements.
const GAP: u8 = 0xa5;

/// A tensor somewhere in memory.
#[derive(Debug, Clone)]
pub struct Tensor {
    shape: Vec<usize>,
    strides: Vec<usize>,
    element: Element,
    /// All of the memory, from the first element on.
    pub bytes: Vec<u8>,
}

impl Tensor {
    /// A tensor of this shape from `data`, which has the dimensions in the order `axes`, slowest first. In
    /// memory they are in the order `order`, with gaps of `gap` elements at the end of the fastest.
    fn new(
        shape: &[usize],
        (axes, data): (&[usize], &[u8]),
        element: Element,
        (order, gap): (&[usize], usize),
    ) -> Tensor {
        let mut strides = vec![1; shape.len()];
        for (i, &axis) in order.iter().enumerate().rev().skip(1) {
            let next = order[i + 1];
            let last = if i + 2 == order.len() { gap } else { 0 };
            strides[axis] = strides[next] * (shape[next] + last);
        }
        let end: usize = shape.iter().zip(&strides).map(|(size, stride)| (size - 1) * stride).sum();
        let bytes = vec![GAP; (end + 1) * element.bytes()];
        let mut tensor = Tensor { shape: shape.into(), strides, element, bytes };
        let size = element.bytes();
        let places = tensor.places(axes);
        assert_eq!(places.len() * size, data.len(), "the data are the shape's");
        for (place, value) in places.into_iter().zip(data.chunks_exact(size)) {
            tensor.bytes[place * size..][..size].copy_from_slice(value);
        }
        tensor
    }

    /// Element numbers, with the dimensions in the order `axes`, slowest first.
    fn places(&self, axes: &[usize]) -> Vec<usize> {
        let mut places = vec![0];
        for &axis in axes {
            let (size, stride) = (self.shape[axis], self.strides[axis]);
            places = places
                .into_iter()
                .flat_map(|place| (0..size).map(move |index| place + index * stride))
                .collect();
        }
        places
    }

    fn view(&self, address: u64) -> View<'static> {
        let Tensor { shape, strides, element, .. } = self.clone();
        View { shape, strides, element, memory: Memory::Device(address) }
    }
}

/// One problem's tensors: seven, or ten with the permuted scales.
#[derive(Debug)]
pub struct Strided {
    operation: Operation,
    problem: Problem,
    expected: Expected,
    /// In the form's order, C last.
    pub tensors: Vec<Tensor>,
}

/// Orders of memory: of the data, of scales by rows, of permuted scales, of C; slowest first, and a gap.
#[derive(Debug, Clone, Copy)]
pub struct Orders {
    /// Of `[mn, K/2, L]`.
    pub data: ([usize; 3], usize),
    /// Of `[mn, K/16, L]`.
    pub rows: ([usize; 3], usize),
    /// Of `[32, 4, ⌈mn/128⌉, 4, ⌈K/64⌉, L]`; none for the form without permuted scales.
    pub permuted: Option<([usize; 6], usize)>,
    /// Of `[M, N, L]`.
    pub c: ([usize; 3], usize),
}

impl Orders {
    /// The kernels' own.
    pub const KERNELS: Orders = Orders {
        data: ([2, 0, 1], 0),
        rows: ([2, 0, 1], 0),
        permuted: Some(([5, 2, 4, 0, 1, 3], 0)),
        c: ([2, 0, 1], 0),
    };
    /// Others: rows with gaps of few bytes and of many, columns first, batches first; permuted scales as the
    /// contest's framework makes them, and with 32 and 4 swapped.
    pub const OTHERS: [Orders; 4] = [
        Orders { data: ([2, 0, 1], 3), c: ([2, 0, 1], 5), permuted: None, ..Self::KERNELS },
        Orders { data: ([0, 2, 1], 16), rows: ([1, 2, 0], 1), permuted: None, c: ([0, 2, 1], 8) },
        Orders {
            data: ([2, 1, 0], 0),
            permuted: Some(([5, 2, 4, 1, 0, 3], 0)),
            c: ([2, 1, 0], 1),
            ..Self::KERNELS
        },
        Orders {
            data: ([1, 0, 2], 0),
            permuted: Some(([0, 1, 2, 3, 4, 5], 2)),
            c: ([1, 0, 2], 0),
            ..Self::KERNELS
        },
    ];
}

impl Strided {
    /// Tensors of a problem, in memory as `orders` say.
    ///
    /// # Errors
    /// A shape that the host crate refuses.
    pub fn new(
        operation: Operation,
        shape: Shape,
        output: OutputType,
        orders: Orders,
        seed: u64,
    ) -> Result<Strided> {
        let (m, n, k, l) = shape;
        let inputs = Inputs::new(DataKind::Contest, shape, seed);
        // The forms have no tensor scales.
        let problem = inputs.problem(shape, output).with_alphas(1.0, 1.0);
        let expected = Expected::of(operation, &problem, &inputs)?;
        let data = |x: &Operand, rows| {
            let shape = [rows, k / 2, l];
            let (order, gap) = orders.data;
            Tensor::new(&shape, (&[2, 0, 1], &x.packed), Element::E2M1x2, (&order, gap))
        };
        let scales = |x: &Operand, rows| {
            let shape = [rows, k / 16, l];
            let (order, gap) = orders.rows;
            Tensor::new(&shape, (&[2, 0, 1], &x.row_major), Element::E4M3, (&order, gap))
        };
        let dual = operation == Operation::DualGemm;
        let operands: Vec<(&Operand, usize)> = [(&inputs.a, m), (&inputs.b1, n)]
            .into_iter()
            .chain(dual.then_some((&inputs.b2, n)))
            .collect();
        let mut tensors: Vec<_> = operands.iter().map(|&(x, rows)| data(x, rows)).collect();
        tensors.extend(operands.iter().map(|&(x, rows)| scales(x, rows)));
        if let Some((order, gap)) = orders.permuted {
            tensors.extend(operands.iter().map(|&(x, rows)| {
                let shape = [32, 4, rows.div_ceil(128), 4, k.div_ceil(64), l];
                let blocked = (&[5, 2, 4, 0, 1, 3][..], &x.blocked[..]);
                Tensor::new(&shape, blocked, Element::E4M3, (&order, gap))
            }));
        }
        let element = if output == OutputType::F16 { Element::F16 } else { Element::Bf16 };
        let (order, gap) = orders.c;
        let empty = vec![GAP; 2 * m * n * l];
        tensors.push(Tensor::new(&[m, n, l], (&[2, 0, 1], &empty), element, (&order, gap)));
        Ok(Strided { operation, problem, expected, tensors })
    }

    /// The same, with the tolerance alone to judge by.
    #[must_use]
    pub fn by_tolerance(mut self) -> Self {
        self.expected.forget_bits();
        self
    }

    /// The tensors on a device, C among them.
    ///
    /// # Errors
    /// What the device reports.
    pub fn upload<B: Backend>(&self, device: &mut B) -> Result<Vec<B::Buffer>> {
        let upload = |tensor: &Tensor| {
            let mut buffer = device.alloc("tensor", tensor.bytes.len())?;
            device.upload(&mut buffer, &tensor.bytes)?;
            Ok(buffer)
        };
        self.tensors.iter().map(upload).collect()
    }

    fn values<B: Backend>(&self, device: &B, buffers: &[B::Buffer]) -> Vec<Value<'static>> {
        let at = buffers.iter().map(|buffer| device.address(buffer));
        self.tensors.iter().zip(at).map(|(tensor, at)| Value::Tensor(tensor.view(at))).collect()
    }

    /// The ten tensors, or the seven, of a dual GEMM.
    pub fn tuple<B: Backend>(&self, device: &B, buffers: &[B::Buffer]) -> Vec<Value<'static>> {
        self.values(device, buffers)
    }

    /// The entries of this group in the four lists, or the three.
    pub fn entries<B: Backend>(&self, device: &B, buffers: &[B::Buffer]) -> Vec<Value<'static>> {
        let mut values = self.values(device, buffers);
        let c = values.pop().expect("C is last");
        let count = 1 + self.operation.products();
        let mut lists: Vec<Vec<_>> = values.chunks(count).map(<[_]>::to_vec).collect();
        lists[0].push(c);
        let Problem { m, n, k, l, .. } = self.problem;
        let size = [m, n, k, l].map(|size| Value::Integer(size as i64));
        lists.into_iter().map(Value::List).chain([Value::List(size.into())]).collect()
    }

    /// Compares C with the answer, and what lies between its elements with what was there.
    ///
    /// # Errors
    /// What the device reports.
    pub fn judge<B: Backend>(&self, device: &mut B, buffers: &[B::Buffer]) -> Result<Verdict> {
        let (Some(tensor), Some(buffer)) = (self.tensors.last(), buffers.last()) else {
            unreachable!("C is last")
        };
        let mut bytes = vec![0; tensor.bytes.len()];
        device.download(buffer, &mut bytes)?;
        let mut c = vec![];
        for place in tensor.places(&[2, 0, 1]) {
            c.push(u16::from_le_bytes([bytes[2 * place], bytes[2 * place + 1]]));
            bytes[2 * place..][..2].fill(GAP);
        }
        let mut verdict = self.expected.judge(&c);
        verdict.wrong_bits += bytes.iter().filter(|&&byte| byte != GAP).count();
        Ok(verdict)
    }
}
