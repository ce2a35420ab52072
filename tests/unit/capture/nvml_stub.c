/* What NVML looks like from outside, with failures on demand: two GPUs, one number for each query. */
#include <stdio.h>
#include <string.h>

static char failing[64];
static int failing_device = -1, failing_code, initialised, devices = 2;

/* From now on `function` returns `code`, for device `device` or (-1) for all. */
void stub_fail(const char *function, int device, int code) {
    snprintf(failing, sizeof failing, "%s", function);
    failing_device = device;
    failing_code = code;
}
void stub_devices(int count) { devices = count; }
int stub_initialised(void) { return initialised; }

static int code_of(const char *function, int device) {
    int is_meant = strcmp(failing, function) == 0 && (failing_device < 0 || failing_device == device);
    return is_meant ? failing_code : 0;
}
/* A handle is 1 + index, high in a 64-bit word: one that was cut to 32 bits is not recognised. */
static int device_of(void *handle) {
    unsigned long long word = (unsigned long long)handle;
    return (int)(word >> 40) - 1;
}
#define FAIL(device) { int code = code_of(__func__, device); if (code) return code; }
#define DEVICE(handle) int device = device_of(handle); if (device < 0) return 2; FAIL(device)

int nvmlInit_v2(void) { FAIL(-1) initialised++; return 0; }
int nvmlShutdown(void) { initialised--; return 0; }
int nvmlDeviceGetCount_v2(unsigned *count) { FAIL(-1) *count = devices; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **handle) {
    FAIL((int)index)
    *handle = (void *)((1ULL + index) << 40);
    return 0;
}
int nvmlDeviceGetName(void *handle, char *name, unsigned length) {
    DEVICE(handle) snprintf(name, length, "Stub GPU %d", device); return 0;
}
int nvmlDeviceGetUUID(void *handle, char *uuid, unsigned length) {
    DEVICE(handle) snprintf(uuid, length, "GPU-%04d", device); return 0;
}
int nvmlSystemGetDriverVersion(char *version, unsigned length) { FAIL(-1) snprintf(version, length, "550.54.15"); return 0; }
int nvmlSystemGetCudaDriverVersion_v2(int *version) { FAIL(-1) *version = 12040; return 0; }
typedef struct { unsigned long long total, free, used; } memory_t;
int nvmlDeviceGetMemoryInfo(void *handle, memory_t *memory) {
    DEVICE(handle)
    memory->total = 80ULL << 30; memory->used = (unsigned long long)(device + 1) << 30; memory->free = memory->total - memory->used;
    return 0;
}
typedef struct { unsigned gpu, memory; } utilization_t;
int nvmlDeviceGetUtilizationRates(void *handle, utilization_t *rates) { DEVICE(handle) rates->gpu = 90 + device; rates->memory = 7; return 0; }
int nvmlDeviceGetTemperature(void *handle, unsigned sensor, unsigned *celsius) { DEVICE(handle) *celsius = 60 + device + sensor; return 0; }
int nvmlDeviceGetPowerUsage(void *handle, unsigned *milliwatts) { DEVICE(handle) *milliwatts = 300500 + device; return 0; }
