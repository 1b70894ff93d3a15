/* A libnvidia-ml.so.1 without a GPU: what the real nvidia-ml-py calls, steered by two files beside the library.
 *
 * `state`: lines "key=value", read at every call; "UUID/key=value" is of one device and goes first. A value is what the
 * call answers; "key=!15" makes the call itself return 15. "device=15" is returned by every call of that device, "hang=KEY"
 * sleeps in that call. `events`: lines "UUID type data [gpu-instance compute-instance]", each told once. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct {
  char uuid[96];
} device;
typedef struct {
  device *device;
  unsigned long long type, data;
  unsigned gi, ci;
} event;

static device devices[16];
static char folder[PATH_MAX];

static FILE *beside(const char *name) {
  if (!folder[0]) {
    Dl_info info;
    dladdr((void *)beside, &info);
    snprintf(folder, sizeof folder, "%s", info.dli_fname);
    char *slash = strrchr(folder, '/');
    if (slash) *slash = 0;
    else strcpy(folder, ".");
  }
  char path[PATH_MAX + 16];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  return fopen(path, "r");
}

static int find(const char *key, char *value) {
  FILE *file = beside("state");
  char line[256];
  int found = 0;
  size_t length = strlen(key);
  while (file && fgets(line, sizeof line, file))
    if (!strncmp(line, key, length) && line[length] == '=') {
      line[strcspn(line, "\n")] = 0;
      strcpy(value, line + length + 1);
      found = 1;
    }
  if (file) fclose(file);
  return found;
}

static int given(device *d, const char *key, char *value) {
  char own[192];
  if (d) {
    snprintf(own, sizeof own, "%s/%s", d->uuid, key);
    if (find(own, value)) return 1;
  }
  return find(key, value);
}

/* The return code of a call, and what it answers where it was not told otherwise. */
static int ask(device *d, const char *key, unsigned long long sound, unsigned long long *out) {
  char value[256];
  if (find("hang", value) && !strcmp(value, key)) sleep(3600);
  if (d && given(d, "device", value) && atoi(value)) return atoi(value);
  if (given(d, key, value)) {
    if (value[0] == '!') return atoi(value + 1);
    sound = strtoull(value, 0, 0);
  }
  if (out) *out = sound;
  return 0;
}

#define NUMBER(function, key, type, sound)      \
  int function(device *d, type *out) {          \
    unsigned long long value;                   \
    int code = ask(d, key, sound, &value);      \
    if (!code) *out = (type)value;              \
    return code;                                \
  }

int nvmlInitWithFlags(unsigned flags) {
  char value[256];
  (void)flags;
  if (find("abort", value)) abort();
  return ask(0, "init", 0, 0);
}
int nvmlShutdown(void) { return 0; }
const char *nvmlErrorString(int code) {
  return code == 9 ? "Driver Not Loaded" : code == 18 ? "Driver/library version mismatch" : "An error";
}
static device *named(const char *uuid) {
  for (int i = 0; i < 16; i++) {
    if (!devices[i].uuid[0]) snprintf(devices[i].uuid, sizeof devices[i].uuid, "%s", uuid);
    if (!strcmp(devices[i].uuid, uuid)) return &devices[i];
  }
  return 0;
}
int nvmlDeviceGetHandleByUUID(const char *uuid, device **out) {
  *out = named(uuid);
  return ask(*out, "handle", 0, 0);
}
int nvmlDeviceGetUUID(device *d, char *out, unsigned length) {
  snprintf(out, length, "%s", d->uuid);
  return 0;
}
int nvmlDeviceGetDeviceHandleFromMigDeviceHandle(device *d, device **out) {
  char card[256];
  if (!given(d, "card", card)) return 3;
  *out = named(card);
  return 0;
}
NUMBER(nvmlDeviceGetGpuInstanceId, "gi", unsigned, 0)
NUMBER(nvmlDeviceGetComputeInstanceId, "ci", unsigned, 0)
NUMBER(nvmlDeviceGetRetiredPagesPendingStatus, "pages", int, 0)
NUMBER(nvmlDeviceGetCurrentClocksEventReasons, "throttle", unsigned long long, 1)
NUMBER(nvmlDeviceGetCurrPcieLinkGeneration, "gen", unsigned, 4)
NUMBER(nvmlDeviceGetMaxPcieLinkGeneration, "gen-max", unsigned, 4)
NUMBER(nvmlDeviceGetCurrPcieLinkWidth, "width", unsigned, 16)
NUMBER(nvmlDeviceGetMaxPcieLinkWidth, "width-max", unsigned, 16)
NUMBER(nvmlDeviceGetPcieReplayCounter, "replays", unsigned, 0)
NUMBER(nvmlDeviceGetSupportedEventTypes, "event-types", unsigned long long, 8)
int nvmlDeviceValidateInforom(device *d) { return ask(d, "inforom", 0, 0); }

typedef struct {
  unsigned id, scope;
  long long time, latency;
  int type, code;
  unsigned long long value;
} field;
int nvmlDeviceGetFieldValues(device *d, int count, field *fields) {
  for (int i = 0; i < count; i++) {
    fields[i].value = 0;
    fields[i].type = 1;
    fields[i].code = fields[i].id == 230 ? ask(d, "recovery", 0, &fields[i].value) : 3;
  }
  return 0;
}
int nvmlDeviceGetRemappedRows(device *d, unsigned *corrected, unsigned *not, unsigned *pending, unsigned *failed) {
  unsigned long long waits, bad;
  int code = ask(d, "remap-pending", 0, &waits);
  if (!code) code = ask(d, "remap-failed", 0, &bad);
  if (!code) *corrected = *not = 0, *pending = (unsigned)waits, *failed = (unsigned)bad;
  return code;
}
int nvmlDeviceGetTotalEccErrors(device *d, int type, int counter, unsigned long long *out) {
  (void)counter;
  return ask(d, type ? "ecc" : "ecc-corrected", 0, out);
}
int nvmlDeviceGetUtilizationRates(device *d, unsigned *out) {
  unsigned long long load = 0;
  int code = ask(d, "load", 0, &load);
  out[0] = (unsigned)load, out[1] = 0;
  return code;
}
typedef struct {
  unsigned version;
  unsigned long long total, reserved, free, used;
} memory;
int nvmlDeviceGetMemoryInfo_v2(device *d, memory *out) {
  out->total = 80ULL << 30;
  return ask(d, "memory", 4 << 20, &out->used);
}

typedef struct {
  unsigned pid;
  unsigned long long used;
  unsigned gi, ci;
} process;
static int processes(device *d, const char *key, unsigned *count, process *out) {
  unsigned long long pid = 0;
  int code = ask(d, key, 0, &pid);
  if (code) return code;
  if (pid && !out) return *count = 1, 7; /* insufficient size */
  if (pid) out[0].pid = (unsigned)pid;
  return *count = pid != 0, 0;
}
int nvmlDeviceGetComputeRunningProcesses_v3(device *d, unsigned *count, process *out) {
  return processes(d, "compute", count, out);
}
int nvmlDeviceGetGraphicsRunningProcesses_v3(device *d, unsigned *count, process *out) {
  return processes(d, "graphics", count, out);
}

typedef struct {
  char old[16];
  unsigned domain, bus, device, id, subsystem;
  char text[32];
} pci;
int nvmlDeviceGetPciInfo_v3(device *d, pci *out) {
  unsigned long long bus;
  int code = ask(d, "bus", 0x10, &bus);
  out->domain = 0, out->bus = (unsigned)bus, out->device = 0x1c;
  return code;
}

static long told;
int nvmlEventSetCreate(void **out) {
  FILE *file = beside("events");
  *out = devices;
  if (file && !fseek(file, 0, SEEK_END)) told = ftell(file);
  if (file) fclose(file);
  return ask(0, "event-set", 0, 0);
}
int nvmlEventSetFree(void *set) { return (void)set, 0; }
int nvmlDeviceRegisterEvents(device *d, unsigned long long types, void *set) {
  (void)types, (void)set;
  return ask(d, "register", 0, 0);
}
int nvmlEventSetWait_v2(void *set, event *out, unsigned timeout) {
  (void)set;
  for (unsigned waited = 0; waited <= timeout; waited += 50) {
    FILE *file = beside("events");
    char line[256], uuid[128];
    if (file && !fseek(file, told, SEEK_SET) && fgets(line, sizeof line, file) && strchr(line, '\n')) {
      out->gi = out->ci = 0xFFFFFFFF;
      sscanf(line, "%127s %llu %llu %u %u", uuid, &out->type, &out->data, &out->gi, &out->ci);
      out->device = named(uuid);
      told = ftell(file);
      fclose(file);
      return 0;
    }
    if (file) fclose(file);
    usleep(50000);
  }
  return 10; /* timeout */
}
