// Runs programs of this folder on a device and compares what they leave in memory:
//   nvcc -o runner runner.c -lcuda -lm && ./runner *.ptx
// One line a program: PASS, FAIL with the first difference, or ERROR. After an error that ends the
// context the runner starts itself again for the rest. The exit status is 0 when the run is over.
#define _GNU_SOURCE
#include <cuda.h>
#include <math.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MOST 16

typedef struct {
    char name[32];
    size_t bytes, filled;
    unsigned char *content;  // null: never written by the host
    CUdeviceptr address;
} Buffer;

typedef struct {
    char name[32], buffer[32], type[8], fill[8];
    int rank, swizzle, interleave;
    uint64_t numbers[32];
} Map;

typedef struct {
    char buffer[32];
    size_t first, filled;
    unsigned char *bytes;
    char type[8];
    int near, units, power;  // near: values may lie so far away
} Expected;

static Buffer buffers[MOST];
static Map maps[MOST];
static Expected expected[MOST];
static struct { char buffer[32]; size_t bytes; uint64_t value; } hashes[MOST];
static struct { char buffer[32], type[8]; size_t first, elements; } asked[MOST];
static char params[MOST][32];
static int n_buffers, n_maps, n_expected, n_hashes, n_asked, n_params;
static unsigned launch[6], cluster[3], shared_bytes;
static int has_cluster;
static char **all;
static int at, count;

static int size_of(const char *type) {
    if (!strcmp(type, "b8") || !strcmp(type, "e4m3") || !strcmp(type, "e5m2")) return 1;
    if (!strcmp(type, "b16") || !strcmp(type, "f16") || !strcmp(type, "bf16")) return 2;
    if (!strcmp(type, "b64") || !strcmp(type, "s64") || !strcmp(type, "f64")) return 8;
    return 4;
}

// The bits of a small integer in a type.
static uint64_t bits_of(const char *type, int64_t value) {
    int e, f;
    if (!strcmp(type, "f16")) e = 5, f = 10;
    else if (!strcmp(type, "bf16")) e = 8, f = 7;
    else if (!strcmp(type, "f32")) e = 8, f = 23;
    else if (!strcmp(type, "f64")) e = 11, f = 52;
    else if (!strcmp(type, "e4m3")) e = 4, f = 3;
    else if (!strcmp(type, "e5m2")) e = 5, f = 2;
    else return (uint64_t)value;
    if (value == 0) return 0;
    uint64_t magnitude = value < 0 ? -value : value;
    int top = 63 - __builtin_clzll(magnitude);
    uint64_t fraction = top <= f ? magnitude << (f - top) : magnitude >> (top - f);
    fraction &= (1ull << f) - 1;
    uint64_t bias = (1ull << (e - 1)) - 1;
    return (uint64_t)(value < 0) << (e + f) | (top + bias) << f | fraction;
}

static void put(unsigned char *to, size_t *filled, const char *type, uint64_t bits) {
    memcpy(to + *filled, &bits, size_of(type));
    *filled += size_of(type);
}

static Buffer *find(const char *name) {
    for (int i = 0; i < n_buffers; i++)
        if (!strcmp(buffers[i].name, name)) return &buffers[i];
    printf("ERROR %s: no buffer %s\n", all[at], name);
    exit(1);
}

static void parse(char *text) {
    n_buffers = n_maps = n_expected = n_hashes = n_asked = n_params = has_cluster = 0;
    shared_bytes = 0;
    char type[8] = "";
    int into = 0;  // 1: the last buffer, 2: the last expectation
    char *line_state;
    for (char *line = strtok_r(text, "\n", &line_state); line; line = strtok_r(0, "\n", &line_state)) {
        if (strncmp(line, "//@ ", 4)) continue;
        char *word_state, *word = strtok_r(line + 4, " ", &word_state);
#define NEXT strtok_r(0, " ", &word_state)
        if (!strcmp(word, ".")) {
            while ((word = NEXT)) {
                int raw = !strncmp(word, "0x", 2);
                uint64_t bits = raw ? strtoull(word, 0, 16) : bits_of(type, strtoll(word, 0, 10));
                if (into == 1) put(buffers[n_buffers - 1].content, &buffers[n_buffers - 1].filled, type, bits);
                else put(expected[n_expected - 1].bytes, &expected[n_expected - 1].filled, type, bits);
            }
        } else if (!strcmp(word, "launch")) {
            for (int i = 0; i < 6; i++) launch[i] = atoi(NEXT);
            while ((word = NEXT)) {
                if (!strcmp(word, "shared")) shared_bytes = atoi(NEXT);
                else {
                    has_cluster = 1;
                    for (int i = 0; i < 3; i++) cluster[i] = atoi(NEXT);
                }
            }
        } else if (!strcmp(word, "buffer")) {
            Buffer *b = &buffers[n_buffers++];
            memset(b, 0, sizeof *b);
            strcpy(b->name, NEXT);
            strcpy(type, NEXT);
            size_t elements = atol(NEXT);
            b->bytes = elements * size_of(type);
            char *how = NEXT;
            into = 1;
            if (strcmp(how, "empty")) b->content = calloc(1, b->bytes + 64);
            if (!strcmp(how, "random")) {
                uint32_t seed = strtoul(NEXT, 0, 10);
                int64_t low = atoll(NEXT), high = atoll(NEXT);
                for (size_t i = 0; i < elements; i++) {
                    seed = seed * 1664525u + 1013904223u;
                    put(b->content, &b->filled, type, bits_of(type, low + (seed >> 16) % (high - low + 1)));
                }
            }
        } else if (!strcmp(word, "map")) {
            Map *m = &maps[n_maps++];
            strcpy(m->name, NEXT);
            strcpy(m->buffer, NEXT);
            strcpy(m->type, NEXT);
            m->rank = atoi(NEXT);
            for (int i = 0; i < 4 * m->rank - 1; i++) m->numbers[i] = strtoull(NEXT, 0, 10);
            m->swizzle = atoi(NEXT);
            strcpy(m->fill, NEXT);
            word = NEXT;  // "interleave", or nothing
            m->interleave = word ? atoi(NEXT) : 0;
        } else if (!strcmp(word, "param")) {
            strcpy(params[n_params++], NEXT);
        } else if (!strcmp(word, "ask")) {
            strcpy(asked[n_asked].buffer, NEXT);
            strcpy(asked[n_asked].type, NEXT);
            asked[n_asked].first = atol(NEXT);
            asked[n_asked++].elements = atol(NEXT);
        } else if (!strcmp(word, "expect") || !strcmp(word, "within")) {
            Expected *e = &expected[n_expected++];
            e->near = !strcmp(word, "within");
            strcpy(e->buffer, NEXT);
            strcpy(type, NEXT);
            e->first = atol(NEXT) * size_of(type);
            e->bytes = calloc(1, atol(NEXT) * size_of(type) + 64);
            e->filled = 0;
            strcpy(e->type, type);
            if (e->near) e->units = atoi(NEXT), e->power = atoi(NEXT);
            into = 2;
        } else if (!strcmp(word, "hash")) {
            strcpy(hashes[n_hashes].buffer, NEXT);
            hashes[n_hashes].bytes = atol(NEXT);
            hashes[n_hashes++].value = strtoull(NEXT, 0, 16);
        }
    }
}

static CUresult encode(Map *m, CUtensorMap *out) {
    static const struct { const char *name; CUtensorMapDataType type; } types[] = {
        {"s32", CU_TENSOR_MAP_DATA_TYPE_INT32},    {"s64", CU_TENSOR_MAP_DATA_TYPE_INT64},
        {"f32ftz", CU_TENSOR_MAP_DATA_TYPE_FLOAT32_FTZ},
        {"tf32", CU_TENSOR_MAP_DATA_TYPE_TFLOAT32},
        {"tf32ftz", CU_TENSOR_MAP_DATA_TYPE_TFLOAT32_FTZ},
        {"b8", CU_TENSOR_MAP_DATA_TYPE_UINT8},     {"b16", CU_TENSOR_MAP_DATA_TYPE_UINT16},
        {"b32", CU_TENSOR_MAP_DATA_TYPE_UINT32},   {"b64", CU_TENSOR_MAP_DATA_TYPE_UINT64},
        {"f16", CU_TENSOR_MAP_DATA_TYPE_FLOAT16},  {"bf16", CU_TENSOR_MAP_DATA_TYPE_BFLOAT16},
        {"f32", CU_TENSOR_MAP_DATA_TYPE_FLOAT32},  {"f64", CU_TENSOR_MAP_DATA_TYPE_FLOAT64}};
    CUtensorMapDataType type = CU_TENSOR_MAP_DATA_TYPE_UINT8;
    for (int i = 0; i < 13; i++)
        if (!strcmp(types[i].name, m->type)) type = types[i].type;
    int r = m->rank;
    cuuint64_t dims[5], strides[5];
    cuuint32_t box[5], steps[5];
    for (int i = 0; i < r; i++) {
        dims[i] = m->numbers[i];
        box[i] = m->numbers[2 * r - 1 + i];
        steps[i] = m->numbers[3 * r - 1 + i];
        if (i < r - 1) strides[i] = m->numbers[r + i];
    }
    CUtensorMapSwizzle swizzle = m->swizzle == 128  ? CU_TENSOR_MAP_SWIZZLE_128B
                                 : m->swizzle == 64 ? CU_TENSOR_MAP_SWIZZLE_64B
                                 : m->swizzle == 32 ? CU_TENSOR_MAP_SWIZZLE_32B
                                                    : CU_TENSOR_MAP_SWIZZLE_NONE;
    return cuTensorMapEncodeTiled(
        out, type, r, (void *)find(m->buffer)->address, dims, strides, box, steps,
        m->interleave == 16   ? CU_TENSOR_MAP_INTERLEAVE_16B
        : m->interleave == 32 ? CU_TENSOR_MAP_INTERLEAVE_32B
                              : CU_TENSOR_MAP_INTERLEAVE_NONE,
        swizzle, CU_TENSOR_MAP_L2_PROMOTION_NONE,
        strcmp(m->fill, "nan") ? CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE
                               : CU_TENSOR_MAP_FLOAT_OOB_FILL_NAN_REQUEST_ZERO_FMA);
}

static const char *why(CUresult result) {
    const char *text = "?";
    cuGetErrorName(result, &text);
    return text;
}

// Goes on with the next program in a new process image: the context is lost.
static void start_again(void) {
    fflush(stdout);
    char **rest = calloc(count - at + 2, sizeof *rest);
    rest[0] = all[0];
    for (int i = at + 1; i < count; i++) rest[i - at] = all[i];
    if (at + 1 >= count) _exit(0);
    execv("/proc/self/exe", rest);
    _exit(3);
}

static void too_long(int signal) {
    (void)signal;
    printf("ERROR %s: does not end\n", all[at]);
    start_again();
}

#define CHECK(call)                                                       \
    do {                                                                  \
        CUresult result = call;                                           \
        if (result != CUDA_SUCCESS) {                                     \
            printf("ERROR %s: %s: %s\n", all[at], why(result), #call);    \
            if (log_text[0]) printf("%.600s\n", log_text);                \
            start_again();                                                \
        }                                                                 \
    } while (0)

// A value as a number, and its place among the values of its type.
static double number(const char *type, const unsigned char *at, int64_t *place) {
    uint32_t bits = 0;
    memcpy(&bits, at, size_of(type));
    uint32_t sign = 1u << (8 * size_of(type) - 1);
    *place = bits & sign ? -(int64_t)(bits & ~sign) : (int64_t)bits;
    if (!strcmp(type, "f16")) {
        int e = bits >> 10 & 31, f = bits & 1023;
        double x = e == 31 ? (f ? NAN : INFINITY) : e ? ldexp(1024 + f, e - 25) : ldexp(f, -24);
        return bits & sign ? -x : x;
    }
    if (!strcmp(type, "bf16")) bits <<= 16;
    float x;
    memcpy(&x, &bits, 4);
    return x;
}

static int differs(const Expected *e, const unsigned char *found, size_t at, size_t step) {
    size_t bytes = e->filled - at < step ? e->filled - at : step;
    if (!e->near) return !!memcmp(found + at, e->bytes + at, bytes);
    int64_t i, j;
    double x = number(e->type, found + at, &i), y = number(e->type, e->bytes + at, &j);
    if (!isfinite(x) || !isfinite(y)) return !(x == y || (isnan(x) && isnan(y)));
    return !(llabs(i - j) <= e->units || fabs(x - y) <= ldexp(1, e->power));
}

static void tell(const char *path, const char *type, const unsigned char *bytes, size_t elements) {
    const char *name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
    printf("ANSWER %.*s", (int)(strlen(name) - 4), name);
    for (size_t i = 0; i < elements; i++) {
        uint64_t word = 0;
        memcpy(&word, bytes + i * size_of(type), size_of(type));
        printf(" %llx", (unsigned long long)word);
    }
    printf("\n");
}

static void run(const char *path) {
    char log_text[4096] = "";
    FILE *file = fopen(path, "rb");
    if (!file) { printf("ERROR %s: cannot be read\n", path); return; }
    fseek(file, 0, SEEK_END);
    long length = ftell(file);
    rewind(file);
    char *text = calloc(1, length + 1);
    if (fread(text, 1, length, file) != (size_t)length) return;
    fclose(file);
    if (!strstr(text, "//@ launch")) return;
    parse(strdup(text));
    CUmodule module;
    CUfunction kernel;
    CUjit_option options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
    void *values[] = {log_text, (void *)(uintptr_t)sizeof log_text};
    CHECK(cuModuleLoadDataEx(&module, text, 2, options, values));
    CHECK(cuModuleGetFunction(&kernel, module, "k"));
    for (int i = 0; i < n_buffers; i++) {
        Buffer *b = &buffers[i];
        CHECK(cuMemAlloc(&b->address, b->bytes));
        if (b->content) CHECK(cuMemcpyHtoD(b->address, b->content, b->bytes));
        else CHECK(cuMemsetD8(b->address, 0xa5, b->bytes));
    }
    static CUtensorMap encoded[MOST] __attribute__((aligned(64)));
    void *arguments[MOST];
    for (int i = 0; i < n_params; i++) {
        arguments[i] = 0;
        for (int j = 0; j < n_maps; j++)
            if (!strcmp(maps[j].name, params[i])) {
                CHECK(encode(&maps[j], &encoded[j]));
                arguments[i] = &encoded[j];
            }
        if (!arguments[i]) arguments[i] = &find(params[i])->address;
    }
    CUlaunchAttribute attribute = {.id = CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION};
    CUlaunchConfig config = {
        .gridDimX = launch[0], .gridDimY = launch[1], .gridDimZ = launch[2],
        .blockDimX = launch[3], .blockDimY = launch[4], .blockDimZ = launch[5],
        .sharedMemBytes = shared_bytes, .attrs = &attribute, .numAttrs = has_cluster};
    attribute.value.clusterDim.x = cluster[0];
    attribute.value.clusterDim.y = cluster[1];
    attribute.value.clusterDim.z = cluster[2];
    if (shared_bytes > 48 * 1024)
        CHECK(cuFuncSetAttribute(kernel, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, shared_bytes));
    if (has_cluster && cluster[0] * cluster[1] * cluster[2] > 8)
        CHECK(cuFuncSetAttribute(kernel, CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED, 1));
    CHECK(cuLaunchKernelEx(&config, kernel, arguments, 0));
    CHECK(cuCtxSynchronize());
    int good = 1;
    for (int i = 0; i < n_expected && good; i++) {
        Expected *e = &expected[i];
        unsigned char *found = malloc(e->filled);
        CHECK(cuMemcpyDtoH(found, find(e->buffer)->address + e->first, e->filled));
        int wrong = 0, shown = 0;
        size_t step = e->near ? size_of(e->type) : 4;
        for (size_t j = 0; j < e->filled; j += step) wrong += differs(e, found, j, step);
        if (!wrong) continue;
        good = 0;
        printf("FAIL %s: %s, %d of %zu differ:", path, e->buffer, wrong, e->filled / step);
        for (size_t j = 0; j + step <= e->filled && shown < 12; j += step)
            if (differs(e, found, j, step)) {
                uint32_t x = 0, y = 0;
                memcpy(&x, found + j, step);
                memcpy(&y, e->bytes + j, step);
                printf(" [%zu] %08x!=%08x", j / step, x, y);
                shown++;
            }
        printf("\n");
        if (getenv("ANSWERS")) tell(path, e->type, found, e->filled / size_of(e->type));
    }
    for (int i = 0; i < n_hashes && good; i++) {
        unsigned char *found = malloc(hashes[i].bytes);
        CHECK(cuMemcpyDtoH(found, find(hashes[i].buffer)->address, hashes[i].bytes));
        uint64_t h = 0xcbf29ce484222325ull;
        for (size_t j = 0; j < hashes[i].bytes; j++) h = (h ^ found[j]) * 0x100000001b3ull;
        if (h != hashes[i].value) {
            good = 0;
            printf("FAIL %s: %s, hash %016llx\n", path, hashes[i].buffer, (unsigned long long)h);
        }
    }
    for (int i = 0; i < n_asked; i++) {
        int size = size_of(asked[i].type);
        unsigned char *found = malloc(asked[i].elements * size);
        CHECK(cuMemcpyDtoH(found, find(asked[i].buffer)->address + asked[i].first * size, asked[i].elements * size));
        tell(path, asked[i].type, found, asked[i].elements);
        good = 0;
    }
    if (good) printf("PASS %s\n", path);
    for (int i = 0; i < n_buffers; i++) cuMemFree(buffers[i].address);
    cuModuleUnload(module);
    fflush(stdout);
}

int main(int argc, char **argv) {
    all = argv;
    count = argc;
    char log_text[1] = "";
    CUdevice device;
    CUcontext context;
    signal(SIGALRM, too_long);
    alarm(60);
    CHECK(cuInit(0));
    CHECK(cuDeviceGet(&device, 0));
    CHECK(cuDevicePrimaryCtxRetain(&context, device));
    CHECK(cuCtxSetCurrent(context));
    for (at = 1; at < argc; at++) {
        alarm(10);
        run(argv[at]);
    }
    return 0;
}
