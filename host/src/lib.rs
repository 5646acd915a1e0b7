//! Fused NVFP4 gate/up GEMM with SwiGLU.
