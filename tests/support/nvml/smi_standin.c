/* What a script that polls nvidia-smi pays for, without the driver: a program
 * that is started, loads the same libnvidia-ml.so.1, asks for the figures that
 * `nvidia-smi --query-gpu=utilization.gpu,memory.used,power.draw,temperature.gpu
 * --format=csv,noheader,nounits` prints, and ends. The real one costs more: its
 * binary is larger and each start opens the driver. */
#include <dlfcn.h>
#include <stdio.h>

typedef struct { unsigned int gpu, memory; } Utilization;
typedef struct { unsigned long long total, free, used; } Memory;

int main(void) {
    void *library = dlopen("libnvidia-ml.so.1", RTLD_NOW), *device;
    unsigned int count, milliwatts = 0, celsius = 0;
    Utilization rates = {0, 0};
    Memory memory = {0, 0, 0};
    if (!library) { fprintf(stderr, "%s\n", dlerror()); return 12; }
#define CALL(name) ((int (*)())dlsym(library, name))
    if (CALL("nvmlInit_v2")()) return 9;
    CALL("nvmlDeviceGetCount_v2")(&count);
    for (unsigned int index = 0; index < count; index++) {
        CALL("nvmlDeviceGetHandleByIndex_v2")(index, &device);
        CALL("nvmlDeviceGetUtilizationRates")(device, &rates);
        CALL("nvmlDeviceGetMemoryInfo")(device, &memory);
        CALL("nvmlDeviceGetPowerUsage")(device, &milliwatts);
        CALL("nvmlDeviceGetTemperature")(device, 0, &celsius);
        printf("%u, %llu, %.2f, %u\n", rates.gpu, memory.used >> 20, milliwatts / 1000.0, celsius);
    }
    CALL("nvmlShutdown")();
    return 0;
}
