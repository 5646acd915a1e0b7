//! The contest's input forms: tensors as its generator orders them, tensors in other orders, and every
//! mistake with its message.

use nvfp4_dual_gemm::OutputType;
use nvfp4_dual_gemm::formats::scale_layout::ScaleLayout;
use nvfp4_dual_gemm::forms::{BothScales, Element, Memory, Value, View, lists, tensors};
use nvfp4_dual_gemm::grouped::Operation;

/// Memory of one operand: data and both forms of scales, in the order that the contest's generator
/// makes before it permutes.
struct Side {
    shape: [usize; 3],
    packed: Vec<u8>,
    scales: Vec<u8>,
    blocked: Vec<u8>,
}

impl Side {
    fn new(rows: usize, k: usize, l: usize, seed: u8) -> Side {
        let bytes = |count: usize, factor: usize| -> Vec<u8> {
            (0..count).map(|i| ((i * factor + usize::from(seed)) % 113) as u8).collect()
        };
        let scales = bytes(l * rows * k / 16, 31);
        let layout = ScaleLayout::new(rows, k, l).unwrap();
        // Garbage in the padding.
        let blocked = layout.to_blocked_padded(&scales, 0x7f).unwrap();
        Side { shape: [rows, k, l], packed: bytes(l * rows * k / 2, 57), scales, blocked }
    }

    fn data(&self) -> Value<'_> {
        let [rows, k, l] = self.shape;
        view(&[l, rows, k / 2], &[1, 2, 0], Element::E2M1x2, &self.packed)
    }

    fn plain(&self) -> Value<'_> {
        let [rows, k, l] = self.shape;
        view(&[l, rows, k / 16], &[1, 2, 0], Element::E4M3, &self.scales)
    }

    fn permuted(&self) -> Value<'_> {
        let [rows, k, l] = self.shape;
        let shape = [l, rows.div_ceil(128), k.div_ceil(64), 32, 4, 4];
        view(&shape, &[3, 4, 1, 5, 2, 0], Element::E4M3, &self.blocked)
    }
}

fn view<'a>(shape: &[usize], axes: &[usize], element: Element, memory: &'a [u8]) -> Value<'a> {
    Value::Tensor(View::permuted(shape, axes, element, Memory::Host(memory)).unwrap())
}

fn tensor<'v, 'a>(value: &'v mut Value<'a>) -> &'v mut View<'a> {
    match value {
        Value::Tensor(view) => view,
        other => panic!("{other:?} is no tensor"),
    }
}

/// M, N, K, L of the dense tests: rows and K that need padding, batches.
const M: usize = 130;
const N: usize = 16;
const K: usize = 96;
const L: usize = 2;

struct Dense {
    a: Side,
    b1: Side,
    b2: Side,
    c: Vec<u8>,
}

impl Dense {
    fn new() -> Dense {
        let (a, b1, b2) = (Side::new(M, K, L, 1), Side::new(N, K, L, 2), Side::new(N, K, L, 3));
        Dense { a, b1, b2, c: vec![0; 2 * L * M * N] }
    }

    fn ten(&self) -> Vec<Value<'_>> {
        let sides = [&self.a, &self.b1, &self.b2];
        let mut tuple: Vec<_> = sides.map(Side::data).into();
        tuple.extend(sides.map(Side::plain));
        tuple.extend(sides.map(Side::permuted));
        tuple.push(view(&[L, M, N], &[1, 2, 0], Element::F16, &self.c));
        tuple
    }

    fn seven(&self) -> Vec<Value<'_>> {
        let mut tuple = self.ten();
        tuple.drain(6..9);
        tuple
    }
}

fn complaint(tuple: &[Value<'_>]) -> String {
    tensors(tuple, BothScales::Compare).unwrap_err().to_string()
}

#[test]
fn ten_tensors_are_used_where_they_lie() {
    let dense = Dense::new();
    let form = tensors(&dense.ten(), BothScales::Compare).unwrap();
    let problem = form.problem;
    assert_eq!((problem.m, problem.n, problem.k, problem.l), (M, N, K, L));
    assert_eq!((problem.output, form.tensors.copied()), (OutputType::F16, 0));
    let inputs = form.tensors.inputs().unwrap();
    inputs.check(&problem).unwrap();
    assert!(std::ptr::eq(inputs.sfb2.as_ptr(), dense.b2.blocked.as_ptr()));
    assert_eq!((inputs.a, inputs.b1), (&dense.a.packed[..], &dense.b1.packed[..]));
}

#[test]
fn seven_tensors_get_their_scales_blocked() {
    let dense = Dense::new();
    let form = tensors(&dense.seven(), BothScales::Trust).unwrap();
    let inputs = form.tensors.inputs().unwrap();
    let layout = ScaleLayout::new(M, K, L).unwrap();
    assert_eq!(layout.to_row_major(inputs.sfa).unwrap(), dense.a.scales);
    let scales = dense.a.blocked.len() + dense.b1.blocked.len() + dense.b2.blocked.len();
    assert_eq!(form.tensors.copied(), scales);
}

#[test]
fn other_orders_are_converted() {
    let dense = Dense::new();
    let mut tuple = dense.ten();
    // A with K slowest: every byte elsewhere, the same tensor.
    let mut moved = vec![0; dense.a.packed.len()];
    let mut permuted = vec![0; dense.a.blocked.len()];
    for i in 0..M {
        for j in 0..K / 2 {
            for b in 0..L {
                moved[(j * L + b) * M + i] = dense.a.packed[(b * M + i) * (K / 2) + j];
            }
        }
    }
    tuple[0] = view(&[K / 2, L, M], &[2, 0, 1], Element::U8, &moved);
    // Permuted scales contiguous in the order in which they are indexed.
    let (rest_m, rest_k) = (M.div_ceil(128), K.div_ceil(64));
    for (i, scale) in permuted.iter_mut().enumerate() {
        let (b, i) = (i % L, i / L);
        let (atom_k, i) = (i % rest_k, i / rest_k);
        let (j, i) = (i % 4, i / 4);
        let (atom_m, i) = (i % rest_m, i / rest_m);
        let (part, line) = (i % 4, i / 4);
        let atom = (b * rest_m + atom_m) * rest_k + atom_k;
        *scale = dense.a.blocked[atom * 512 + line * 16 + part * 4 + j];
    }
    let shape = [32, 4, rest_m, 4, rest_k, L];
    tuple[6] = view(&shape, &[0, 1, 2, 3, 4, 5], Element::E4M3, &permuted);
    let form = tensors(&tuple, BothScales::Compare).unwrap();
    let inputs = form.tensors.inputs().unwrap();
    assert_eq!((inputs.a, inputs.sfa), (&dense.a.packed[..], &dense.a.blocked[..]));
    assert_eq!(form.tensors.copied(), inputs.a.len() + inputs.sfa.len());
}

#[test]
fn c_is_stored_in_its_own_order() {
    let dense = Dense::new();
    let mut tuple = dense.ten();
    tuple[9] = view(&[N, L, M], &[2, 0, 1], Element::Bf16, &dense.c);
    let form = tensors(&tuple, BothScales::Trust).unwrap();
    assert_eq!(form.problem.output, OutputType::Bf16);
    let result: Vec<u16> = (0..L * M * N).map(|i| i as u16).collect();
    let mut memory = vec![0; dense.c.len()];
    form.tensors.store_c(&result, &mut memory).unwrap();
    // Batch 1, row 5, column 7 lies at column 7, batch 1, row 5.
    let at = 2 * ((7 * L + 1) * M + 5);
    let bits = u16::from_le_bytes([memory[at], memory[at + 1]]);
    assert_eq!(usize::from(bits), (M + 5) * N + 7);
    assert!(form.tensors.store_c(&result[1..], &mut memory).is_err());
    assert!(form.tensors.store_c(&result, &mut memory[2..]).is_err());
}

#[test]
fn scales_that_disagree_are_found() {
    let mut dense = Dense::new();
    let layout = ScaleLayout::new(N, K, L).unwrap();
    dense.b2.blocked[layout.blocked_offset(1, 9, 5).unwrap()] ^= 1;
    let text = complaint(&dense.ten());
    for part in ["element 8 (sfb2_permuted)", "row 9, block 5, batch 1", "element 5 (sfb2)"] {
        assert!(text.contains(part), "{text}");
    }
    tensors(&dense.ten(), BothScales::Trust).unwrap();
}

#[test]
fn every_misfit_names_element_expectation_and_finding() {
    let dense = Dense::new();
    let change = |at: usize, change: &dyn Fn(&mut View<'_>)| {
        let mut tuple = dense.ten();
        change(tensor(&mut tuple[at]));
        complaint(&tuple)
    };
    for (text, parts) in [
        (change(1, &|v| v.shape[1] = 40), ["element 1 (b1), shape", "[16, 48, 2]", "[16, 40, 2]"]),
        (change(2, &|v| v.shape[2] = 1), ["element 2 (b2), shape", "[16, 48, 2]", "[16, 48, 1]"]),
        (
            change(0, &|v| v.element = Element::F16),
            ["element 0 (a), element type", "float4", "float16"],
        ),
        (change(3, &|v| v.element = Element::E4M3Fnuz), ["element 3 (sfa)", "e4m3fn", "e4m3fnuz"]),
        (
            change(7, &|v| v.shape.swap(0, 1)),
            ["element 7 (sfb1_permuted)", "[32, 4, 1", "[4, 32, 1"],
        ),
        (
            change(9, &|v| v.element = Element::F32),
            ["element 9 (c)", "float16 or bfloat16", "float32"],
        ),
        (
            change(9, &|v| v.shape.swap(0, 1)),
            ["element 9 (c), shape", "[130, 16, 2]", "[16, 130, 2]"],
        ),
        (change(0, &|v| v.strides[0] *= 2), ["element 0 (a), memory", "bytes", "not in bytes"]),
        (change(0, &|v| v.shape.truncate(2)), ["element 0 (a), shape", "[M, K/2, L]", "[130, 48]"]),
        (
            change(9, &|v| {
                v.memory = Memory::Device(4097);
            }),
            ["element 9 (c), shape and address", "element's size", "0x1001"],
        ),
        (
            change(9, &|v| {
                v.memory = Memory::Device(4096);
                v.strides[0] = 0;
            }),
            ["element 9 (c), strides", "[0, 1, ", "no two"],
        ),
    ] {
        assert!(parts.iter().all(|part| text.contains(part)), "{text}");
    }
    let mut tuple = dense.ten();
    tuple[4] = Value::Integer(7);
    let text = complaint(&tuple);
    assert!(text.contains("element 4 (sfb1)") && text.contains("the number 7"), "{text}");
    assert!(complaint(&tuple[..9]).contains("9 elements"));
}

#[test]
fn device_memory_is_passed_on() {
    let dense = Dense::new();
    let mut tuple = dense.ten();
    for (i, value) in tuple.iter_mut().enumerate() {
        tensor(value).memory = Memory::Device(4096 * (i as u64 + 1));
    }
    let form = tensors(&tuple, BothScales::Trust).unwrap();
    let at = form.tensors.addresses().unwrap();
    assert_eq!([at.a, at.b1, at.b2], [4096, 8192, 12288]);
    assert_eq!([at.sfa, at.sfb1, at.sfb2, at.c], [7, 8, 9, 10].map(|i| 4096 * i));
    assert!(form.tensors.inputs().is_err());
    let text = complaint(&tuple);
    assert!(text.contains("device memory") && text.contains("element 3 (sfa)"), "{text}");
    // Row-major scales alone have to be copied.
    tuple.drain(6..9);
    let form = tensors(&tuple, BothScales::Trust).unwrap();
    let strided: Vec<_> = form.tensors.strided().map(|(name, _)| name).collect();
    assert_eq!(strided, ["sfa", "sfb1", "sfb2"]);
    let text = form.tensors.addresses().unwrap_err().to_string();
    assert!(text.contains("forms::arrange"), "{text}");
    // So has what lies right, but not where the kernels can read it.
    tensor(&mut tuple[1]).memory = Memory::Device(8200);
    let form = tensors(&tuple, BothScales::Trust).unwrap();
    assert_eq!(form.tensors.strided().next().unwrap().0, "b1");
}

struct Group {
    a: Side,
    b: Vec<Side>,
    c: Vec<u8>,
    k: usize,
}

fn groups(products: usize) -> Vec<Group> {
    [(96, 128, 256), (0, 8, 64), (5, 24, 96)]
        .map(|(m, n, k)| Group {
            a: if m == 0 {
                Side { shape: [0, k, 1], packed: vec![], scales: vec![], blocked: vec![] }
            } else {
                Side::new(m, k, 1, 4)
            },
            b: (0..products).map(|i| Side::new(n, k, 1, 5 + i as u8)).collect(),
            c: vec![0; 2 * m * n],
            k,
        })
        .into()
}

fn four(groups: &[Group]) -> Vec<Value<'_>> {
    let mut all = vec![vec![], vec![], vec![], vec![]];
    for g in groups {
        let (m, n) = (g.a.shape[0], g.b[0].shape[0]);
        let sides = || std::iter::once(&g.a).chain(&g.b);
        let mut abc: Vec<_> = sides().map(Side::data).collect();
        abc.push(view(&[1, m, n], &[1, 2, 0], Element::F16, &g.c));
        all[0].push(Value::List(abc));
        all[1].push(Value::List(sides().map(Side::plain).collect()));
        all[2].push(Value::List(sides().map(Side::permuted).collect()));
        all[3].push(Value::List([m, n, g.k, 1].map(|i| Value::Integer(i as i64)).into()));
    }
    all.into_iter().map(Value::List).collect()
}

fn list<'v, 'a>(value: &'v mut Value<'a>) -> &'v mut Vec<Value<'a>> {
    match value {
        Value::List(list) => list,
        other => panic!("{other:?} is no list"),
    }
}

#[test]
fn four_and_three_lists_of_both_operations() {
    for (products, operation) in [(1, Operation::Gemm), (2, Operation::DualGemm)] {
        let groups = groups(products);
        let mut tuple = four(&groups);
        let form = lists(&tuple, BothScales::Compare).unwrap();
        assert_eq!((form.problem.operation, form.groups.len()), (operation, 3));
        assert!(form.groups.iter().all(|group| group.copied() == 0));
        let inputs = form.groups[2].inputs().unwrap();
        assert_eq!(inputs.sfb1, groups[2].b[0].blocked);
        assert_eq!(inputs.b2.is_empty(), products == 1);
        tuple.remove(2);
        let form = lists(&tuple, BothScales::Trust).unwrap();
        let layout = ScaleLayout::new(96, 256, 1).unwrap();
        let scales = form.groups[0].inputs().unwrap().sfa;
        assert_eq!(layout.to_row_major(scales).unwrap(), groups[0].a.scales);
    }
}

#[test]
fn each_form_recognises_the_other() {
    let groups = groups(1);
    let four = four(&groups);
    let text = complaint(&four);
    assert!(text.contains("4 lists") && text.contains("forms::lists"), "{text}");
    let text = complaint(&four[..3]);
    assert!(text.contains("3 lists") && text.contains("forms::lists"), "{text}");
    let dense = Dense::new();
    for tuple in [dense.ten(), dense.seven()] {
        let text = lists(&tuple, BothScales::Trust).unwrap_err().to_string();
        assert!(text.contains("tensors: one dense") && text.contains("forms::tensors"), "{text}");
    }
    let mut mixed = dense.ten();
    mixed[2] = four[0].clone();
    let text = complaint(&mixed);
    assert!(text.contains("element 2 (b2)") && text.contains("a list of 3 lists"), "{text}");
}

#[test]
fn misfits_of_lists_name_list_group_and_element() {
    let groups = groups(2);
    let complain = |change: &dyn Fn(&mut Vec<Value<'_>>)| {
        let mut tuple = four(&groups);
        change(&mut tuple);
        lists(&tuple, BothScales::Compare).unwrap_err().to_string()
    };
    for (text, parts) in [
        (
            complain(&|t| list(&mut list(&mut t[3])[2])[1] = Value::Integer(16)),
            ["element 3 (problem_sizes), group 2", "(5, 24, 96, 1)", "(5, 16, 96, 1)"],
        ),
        (
            complain(&|t| tensor(&mut list(&mut list(&mut t[0])[2])[1]).element = Element::F32),
            ["element 0 (abc_tensors), group 2, element 1 (b1)", "float4", "float32"],
        ),
        (
            complain(&|t| drop(list(&mut t[1]).pop())),
            ["element 1 (sfasfb_tensors)", "3 entries", "got 2"],
        ),
        (
            complain(&|t| drop(list(&mut list(&mut t[2])[0]).pop())),
            ["element 2 (sfasfb_reordered_tensors), group 0", "(sfa, sfb1, sfb2)", "2 tensors"],
        ),
        (
            complain(&|t| drop(t.pop())),
            ["element 2 (problem_sizes), group 0", "(m, n, k, l)", "3 tensors"],
        ),
        (
            complain(&|t| t[0] = Value::Integer(1)),
            ["element 0 (abc_tensors)", "a list", "the number 1"],
        ),
        (
            complain(&|t| {
                list(&mut list(&mut t[0])[1]).remove(2);
                list(&mut list(&mut t[1])[1]).remove(2);
                list(&mut list(&mut t[2])[1]).remove(2);
            }),
            ["element 0 (abc_tensors), group 1", "a dual GEMM", "a GEMM"],
        ),
        (
            complain(&|t| t.iter_mut().for_each(|list_| list(list_).clear())),
            ["groups = 0", "at least 1", "nothing"],
        ),
    ] {
        assert!(parts.iter().all(|part| text.contains(part)), "{text}");
    }
}
