/* A stand-in for libnvidia-ml.so.1, for machines without an NVIDIA driver.
 *
 * It speaks the ABI that nvidia-ml-py 13 calls, with the same struct layouts
 * and versions, and plays one of several machines. The machine is named by
 * NVML_STANDIN_PROFILE, or by a file of key=value lines at NVML_STANDIN_CONTROL
 * that is read again on every call, so that a test can break a GPU while a
 * reader is running. Keys: profile, pids (pid:bytes,pid:bytes).
 *
 *   gb10        one integrated GPU: no memory query, no power limit, no fan,
 *               memory utilisation stuck at 0, memory clock unsupported
 *   uma_total   like gb10, but the memory query answers with the host's RAM
 *   discrete    one card with everything
 *   two         two cards
 *   eight       eight cards
 *   hot         discrete, slowed down by its own heat
 *   wedged      like gb10, busy at 507 MHz and 15 W
 *   legacy      discrete on a driver older than nvmlDeviceGetTemperatureV and memory v2
 *   none        the library without a loaded driver
 *   nogpu       a loaded driver without a GPU
 *   unloaded    a driver that was taken out while its library was open
 *   newer       like discrete, by another version of the driver
 *   mismatch    the library and the kernel module differ in version
 *   lost        two cards, of which the second fell off the bus
 *   gone        two cards, of which the second is not even counted any more
 *   hang        power readings never return
 *   hang_init   nvmlInit never returns
 *   garbage     sentinels and nonsense in every figure
 *   flaky       one call in three fails with an unknown error or a time-out
 *
 * Figures follow the wall clock as slow waves, so that charts look alive.
 * NVML_STANDIN_TRACE names a file to which init and shutdown are appended.
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <time.h>
#include <unistd.h>

enum {
    OK = 0, UNINITIALIZED = 1, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, INSUFFICIENT_SIZE = 7,
    DRIVER_NOT_LOADED = 9, TIMEOUT = 10, FUNCTION_NOT_FOUND = 13, GPU_IS_LOST = 15,
    LIB_RM_VERSION_MISMATCH = 18, ARGUMENT_VERSION_MISMATCH = 25, UNKNOWN = 999
};
#define EXPORT __attribute__((visibility("default")))
#define GIB (1024ULL * 1024 * 1024)
#define ALL_ONES 0xFFFFFFFFu
#define ALL_ONES_LONG 0xFFFFFFFFFFFFFFFFULL
#define MEMORY_V2 0x02000028u
#define TEMPERATURE_V1 0x0100000Cu

typedef struct { int index; } Device;
typedef struct { unsigned long long total, free, used; } Memory;
typedef struct { unsigned int version; unsigned long long total, reserved, free, used; } MemoryV2;
typedef struct { unsigned int gpu, memory; } Utilization;
typedef struct { unsigned int version, sensor; int temperature; } TemperatureV1;
typedef struct { unsigned int pid; unsigned long long bytes; unsigned int gpu_instance, compute_instance; } Process;

static Device devices[8] = {{0}, {1}, {2}, {3}, {4}, {5}, {6}, {7}};
static int references = 0;
static unsigned int calls = 0;

/* ---- which machine -------------------------------------------------------- */

static void setting(const char *key, const char *variable, char *value, size_t size) {
    const char *path = getenv("NVML_STANDIN_CONTROL"), *given = getenv(variable);
    char line[4096];
    FILE *file = path ? fopen(path, "r") : NULL;
    snprintf(value, size, "%s", given ? given : "");
    if (!file) return;
    while (fgets(line, sizeof line, file)) {
        size_t length = strlen(key);
        if (strncmp(line, key, length) == 0 && line[length] == '=') {
            snprintf(value, size, "%s", line + length + 1);
            value[strcspn(value, "\r\n")] = 0;
        }
    }
    fclose(file);
}

static const char *profile(void) {
    static __thread char name[32];
    setting("profile", "NVML_STANDIN_PROFILE", name, sizeof name);
    if (!name[0]) strcpy(name, "discrete");
    return name;
}

static int is(const char *name) { return strcmp(profile(), name) == 0; }
static int unified(void) { return is("gb10") || is("uma_total") || is("wedged"); }
static unsigned int present(void) {
    if (is("nogpu")) return 0;
    if (is("eight")) return 8;
    return is("two") || is("lost") ? 2 : 1;
}
static void hang(void) { for (;;) pause(); }
static void trace(const char *what) {
    const char *path = getenv("NVML_STANDIN_TRACE");
    FILE *file = path ? fopen(path, "a") : NULL;
    if (!file) return;
    fprintf(file, "%s %d\n", what, (int)getpid());
    fclose(file);
}

/* What every call on a device answers before it looks at its own figure. */
static int ready(Device *device) {
    if (references <= 0 || is("unloaded")) return UNINITIALIZED;
    if (!device) return INVALID_ARGUMENT;
    if (device->index == 1 && (is("lost") || is("gone"))) return GPU_IS_LOST;
    if (is("flaky")) {
        calls = calls * 1664525u + 1013904223u; /* the same sequence in each process */
        if ((calls >> 16) % 3 == 0) return calls >> 31 ? UNKNOWN : TIMEOUT;
    }
    return OK;
}
#define READY(device) do { int answer_ = ready(device); if (answer_ != OK) return answer_; } while (0)

/* ---- figures that move ---------------------------------------------------- */

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec + now.tv_nsec / 1e9;
}
/* 0..1, one slow and one quick wave, shifted by device. */
static double wave(Device *device, double period) {
    double t = seconds() + 7.0 * device->index;
    return 0.5 + 0.38 * sin(2 * M_PI * t / period) + 0.12 * sin(2 * M_PI * t / 4.7);
}
static double watts(Device *device) {
    if (is("wedged")) return 15;
    return unified() ? 12 + 63 * wave(device, 47) : 60 + 340 * wave(device, 47);
}
static unsigned long long capacity(void) {
    struct sysinfo host;
    if (!is("uma_total")) return 24 * GIB;
    sysinfo(&host);
    return (unsigned long long)host.totalram * host.mem_unit;
}
static unsigned long long held(Device *device) {
    return (unsigned long long)((0.35 + 0.3 * wave(device, 180)) * capacity());
}

/* ---- library -------------------------------------------------------------- */

EXPORT int nvmlInitWithFlags(unsigned int flags) {
    (void)flags;
    trace("init");
    if (is("hang_init")) hang();
    if (is("none") || is("unloaded")) return DRIVER_NOT_LOADED;
    if (is("mismatch")) return LIB_RM_VERSION_MISMATCH;
    references++;
    return OK;
}
EXPORT int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }

EXPORT int nvmlShutdown(void) {
    trace("shutdown");
    if (references <= 0) return UNINITIALIZED;
    references--;
    return OK;
}

EXPORT const char *nvmlErrorString(int code) {
    switch (code) {
    case OK: return "Success";
    case NOT_SUPPORTED: return "Not Supported";
    case DRIVER_NOT_LOADED: return "Driver Not Loaded";
    case GPU_IS_LOST: return "GPU is lost";
    case LIB_RM_VERSION_MISMATCH: return "Driver/library version mismatch";
    default: return "Unknown Error";
    }
}

static int text(char *buffer, unsigned int length, const char *value) {
    if (strlen(value) + 1 > length) return INSUFFICIENT_SIZE;
    strcpy(buffer, value);
    return OK;
}
EXPORT int nvmlSystemGetNVMLVersion(char *buffer, unsigned int length) {
    return text(buffer, length, "13.580.105.08");
}
EXPORT int nvmlSystemGetDriverVersion(char *buffer, unsigned int length) {
    if (references <= 0) return UNINITIALIZED;
    return text(buffer, length, is("newer") ? "580.105.08" : "580.95.05");
}
EXPORT int nvmlSystemGetCudaDriverVersion_v2(int *version) { *version = 13000; return OK; }

/* ---- devices -------------------------------------------------------------- */

EXPORT int nvmlDeviceGetCount_v2(unsigned int *count) {
    if (references <= 0) return UNINITIALIZED;
    *count = present();
    return OK;
}
EXPORT int nvmlDeviceGetHandleByIndex_v2(unsigned int index, Device **device) {
    if (references <= 0) return UNINITIALIZED;
    if (index >= present()) return INVALID_ARGUMENT;
    if (index == 1 && is("lost")) return GPU_IS_LOST;
    *device = &devices[index];
    return OK;
}
EXPORT int nvmlDeviceGetUUID(Device *device, char *buffer, unsigned int length) {
    char value[64];
    if (references <= 0) return UNINITIALIZED;
    snprintf(value, sizeof value, "GPU-5a17d0e5-0000-4000-8000-00000000000%d", device->index);
    return text(buffer, length, value);
}
EXPORT int nvmlDeviceGetName(Device *device, char *buffer, unsigned int length) {
    if (references <= 0) return UNINITIALIZED;
    (void)device;
    if (is("garbage")) return text(buffer, length, "NVIDIA \xff\xfe card");
    return text(buffer, length, unified() ? "NVIDIA GB10" : "NVIDIA GeForce RTX 4090");
}

EXPORT int nvmlDeviceGetMemoryInfo(Device *device, Memory *memory) {
    READY(device);
    if (is("gb10") || is("wedged")) return NOT_SUPPORTED;
    if (is("garbage")) { memory->total = memory->free = memory->used = ALL_ONES_LONG; return OK; }
    memory->total = capacity();
    memory->used = held(device);
    memory->free = memory->total - memory->used;
    return OK;
}
EXPORT int nvmlDeviceGetMemoryInfo_v2(Device *device, MemoryV2 *memory) {
    Memory plain;
    int answer;
    if (is("legacy")) return FUNCTION_NOT_FOUND;
    if (memory->version != MEMORY_V2) return ARGUMENT_VERSION_MISMATCH;
    answer = nvmlDeviceGetMemoryInfo(device, &plain);
    if (answer != OK) return answer;
    memory->total = plain.total;
    memory->free = plain.free;
    memory->used = plain.used;
    memory->reserved = 0;
    return OK;
}
EXPORT int nvmlDeviceGetUtilizationRates(Device *device, Utilization *rates) {
    READY(device);
    rates->gpu = is("garbage") ? ALL_ONES : is("wedged") ? 96 : (unsigned int)(100 * wave(device, 47));
    rates->memory = is("garbage") ? ALL_ONES : unified() ? 0 : (unsigned int)(60 * wave(device, 61));
    return OK;
}
EXPORT int nvmlDeviceGetPowerUsage(Device *device, unsigned int *milliwatts) {
    READY(device);
    if (is("hang")) hang();
    *milliwatts = is("garbage") ? ALL_ONES : (unsigned int)(1000 * watts(device));
    return OK;
}
EXPORT int nvmlDeviceGetEnforcedPowerLimit(Device *device, unsigned int *milliwatts) {
    READY(device);
    if (unified()) return NOT_SUPPORTED;
    *milliwatts = is("garbage") ? 0 : 450000;
    return OK;
}
EXPORT int nvmlDeviceGetTotalEnergyConsumption(Device *device, unsigned long long *millijoules) {
    READY(device);
    if (is("legacy")) return NOT_SUPPORTED;
    *millijoules = is("garbage") ? ALL_ONES_LONG
                                 : (unsigned long long)(fmod(seconds(), 1e6) * 1000 * (unified() ? 43 : 230));
    return OK;
}
static int celsius(Device *device) {
    return is("garbage") ? 2147483647 : (int)(41 + 30 * wave(device, 90));
}
EXPORT int nvmlDeviceGetTemperature(Device *device, unsigned int sensor, unsigned int *temperature) {
    READY(device);
    if (sensor != 0) return NOT_SUPPORTED;
    *temperature = (unsigned int)celsius(device);
    return OK;
}
EXPORT int nvmlDeviceGetTemperatureV(Device *device, TemperatureV1 *value) {
    READY(device);
    if (is("legacy")) return FUNCTION_NOT_FOUND;
    if (value->version != TEMPERATURE_V1) return ARGUMENT_VERSION_MISMATCH;
    if (value->sensor != 0) return NOT_SUPPORTED;
    value->temperature = celsius(device);
    return OK;
}
static int clock_of(unsigned int type, unsigned int sm, unsigned int memory, unsigned int *mhz) {
    if (type == 2 && unified()) return NOT_SUPPORTED;
    if (type > 2) return NOT_SUPPORTED;
    *mhz = is("garbage") ? ALL_ONES : type == 2 ? memory : sm;
    return OK;
}
EXPORT int nvmlDeviceGetClockInfo(Device *device, unsigned int type, unsigned int *mhz) {
    READY(device);
    return clock_of(type, is("wedged") ? 507 : (unsigned int)(900 + 1800 * wave(device, 47)), 10501, mhz);
}
EXPORT int nvmlDeviceGetMaxClockInfo(Device *device, unsigned int type, unsigned int *mhz) {
    READY(device);
    return clock_of(type, unified() ? 3003 : 3105, 10501, mhz);
}
EXPORT int nvmlDeviceGetFanSpeed(Device *device, unsigned int *percent) {
    READY(device);
    if (unified()) return NOT_SUPPORTED;
    *percent = is("garbage") ? ALL_ONES : (unsigned int)(30 + 40 * wave(device, 90));
    return OK;
}

/* ---- what holds it back --------------------------------------------------- */

static int reasons(Device *device, unsigned long long *mask) {
    READY(device);
    *mask = is("garbage") ? ALL_ONES_LONG : is("hot") ? 0x48 : 0;
    return OK;
}
EXPORT int nvmlDeviceGetCurrentClocksEventReasons(Device *device, unsigned long long *mask) {
    if (is("legacy")) return FUNCTION_NOT_FOUND;
    return reasons(device, mask);
}
EXPORT int nvmlDeviceGetCurrentClocksThrottleReasons(Device *device, unsigned long long *mask) {
    return reasons(device, mask);
}
EXPORT int nvmlDeviceGetPerformanceState(Device *device, unsigned int *state) {
    READY(device);
    *state = is("garbage") ? 32 : 2;
    return OK;
}
EXPORT int nvmlDeviceGetTotalEccErrors(Device *device, unsigned int type, unsigned int counter,
                                       unsigned long long *count) {
    READY(device);
    if (unified() || counter != 0) return NOT_SUPPORTED;
    *count = is("garbage") ? ALL_ONES_LONG : type == 0 ? 3 : 0;
    return OK;
}
EXPORT int nvmlDeviceGetMigMode(Device *device, unsigned int *current, unsigned int *pending) {
    READY(device);
    if (unified()) return NOT_SUPPORTED;
    *current = *pending = is("garbage") ? ALL_ONES : 0;
    return OK;
}

/* ---- processes ------------------------------------------------------------ */

/* The pids given, else the parent of the reader: a process that certainly lives. */
static unsigned int processes(Process *found, unsigned int room) {
    char list[4096], *rest = list, *item;
    unsigned int count = 0;
    setting("pids", "NVML_STANDIN_PIDS", list, sizeof list);
    if (!list[0]) snprintf(list, sizeof list, "%d:%llu", (int)getppid(), 5 * GIB);
    if (strcmp(list, "-") == 0) return 0;
    while ((item = strsep(&rest, ",")) && count < room) {
        char *bytes = strchr(item, ':');
        found[count].pid = (unsigned int)strtoul(item, NULL, 10);
        found[count].bytes = bytes && strcmp(bytes, ":?") ? strtoull(bytes + 1, NULL, 10) : ALL_ONES_LONG;
        if (is("garbage")) found[count].bytes = ALL_ONES_LONG;
        found[count].gpu_instance = found[count].compute_instance = ALL_ONES;
        count++;
    }
    return count;
}
static int list_processes(Device *device, unsigned int *count, Process *out) {
    Process found[64];
    unsigned int number, room = *count;
    READY(device);
    number = processes(found, 64);
    *count = number;
    if (number > room || (number && !out)) return INSUFFICIENT_SIZE;
    if (number) memcpy(out, found, number * sizeof *out);
    return OK;
}
EXPORT int nvmlDeviceGetComputeRunningProcesses_v3(Device *device, unsigned int *count, Process *out) {
    return list_processes(device, count, out);
}
/* The same processes once more: a CUDA program with a window is on both lists. */
EXPORT int nvmlDeviceGetGraphicsRunningProcesses_v3(Device *device, unsigned int *count, Process *out) {
    return list_processes(device, count, out);
}
