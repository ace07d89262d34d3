/* A stand-in for the vLLM server: its argument vector, log, HTTP shapes and metric
 * names, without a model. It answers a chat by repeating what the user said.
 *
 * Environment, all optional:
 *   STANDIN_LOAD_SECONDS        how long loading takes; the port is closed until then (0.3)
 *   STANDIN_TOKENS_PER_SECOND   speed of an answer (200)
 *   STANDIN_EXIT_CODE           fail while loading, with this code
 *   STANDIN_EXIT_MESSAGE        the last line of that failure
 *   STANDIN_CRASH_AFTER         seconds after loading until it dies by SIGSEGV
 *   STANDIN_DEAD_AFTER          seconds after loading until /health says 503, as with a dead engine core
 *   STANDIN_WEDGE_AFTER         seconds after loading until requests are taken and nothing comes out, /health still 200
 *   STANDIN_HANG_AFTER          seconds after loading until it accepts and never answers
 *   STANDIN_OOM_MB              while loading, touch this many MB, then fail as for want of memory
 *   STANDIN_FLOOD_LINES         lines written as fast as they go, once loaded
 *   STANDIN_ODD_LOG=1           NUL, broken UTF-8, colours, markup and a line of 1 MB in the log
 *   STANDIN_IGNORE_SIGTERM=1    ends by SIGKILL only
 */
#include "standin.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

const char *model_path = "", *served_name = NULL, *api_key = NULL;
long max_model_len = 4096;
double tokens_per_second;
time_t started;
atomic_bool hanging, dead, wedged;
static const char *listen_host = "0.0.0.0", *master_host = NULL;
static long nodes = 1, node_rank = 0, master_port = 0;
static bool headless = false;
static long port = 8000;

static double env_seconds(const char *name, double fallback) {
  const char *value = getenv(name);
  return value && *value ? strtod(value, NULL) : fallback;
}

static bool env_set(const char *name) {
  const char *value = getenv(name);
  return value && *value && strcmp(value, "0") != 0;
}

static void info(const char *process, const char *where, const char *format, ...) {
  char stamp[32], text[2048];
  time_t now = time(NULL);
  struct tm parts;
  strftime(stamp, sizeof stamp, "%m-%d %H:%M:%S", gmtime_r(&now, &parts));
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  printf("(%s pid=%d) INFO %s [%s] %s\n", process, (int)getpid(), stamp, where, text);
  fflush(stdout);
}

static void fail(int code) {
  const char *message = getenv("STANDIN_EXIT_MESSAGE");
  fprintf(stderr, "(APIServer pid=%d) Traceback (most recent call last):\n", (int)getpid());
  fprintf(stderr, "(APIServer pid=%d) %s\n", (int)getpid(),
          message ? message : "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}");
  exit(code);
}

static void eat_memory(long megabytes) {
  for (long i = 0; i < megabytes; i++) {
    char *block = malloc(1 << 20);
    if (block == NULL) break;
    memset(block, 1, 1 << 20);
  }
  fail(1);
}

static void write_odd_log(void) {
  static char line[1 << 20];
  memset(line, 'x', sizeof line - 1);
  line[sizeof line - 1] = '\n';
  fwrite("nul \0 here\n", 1, 11, stdout);
  fwrite("broken \xff\xfe\xc3( utf-8\n", 1, 18, stdout);
  fputs("\x1b[31mred\x1b[0m <script>alert(1)</script>\n", stdout);
  fwrite(line, 1, sizeof line, stdout);
  fputs("after the long line\n", stdout);
  fflush(stdout);
}

static void load(void) {
  double seconds = env_seconds("STANDIN_LOAD_SECONDS", 0.3);
  info("APIServer", "api_utils.py:286", "non-default args: {'model_tag': '%s', 'model': '%s', 'served_model_name': ['%s']}",
       model_path, model_path, served_name);
  info("EngineCore", "core.py:133", "Initializing a V1 LLM engine (v0.32.0) with config: model='%s'", model_path);
  if (env_set("STANDIN_ODD_LOG")) write_odd_log();
  info("Worker", "gpu_model_runner.py:5017", "Starting to load model %s...", model_path);
  pause_seconds(seconds * 0.2);
  if (getenv("STANDIN_EXIT_CODE")) fail(atoi(getenv("STANDIN_EXIT_CODE")));
  if (getenv("STANDIN_OOM_MB")) eat_memory(atol(getenv("STANDIN_OOM_MB")));
  fprintf(stderr, "\rLoading safetensors checkpoint shards: 100%% Completed | 1/1 [00:00<00:00, 144.11it/s]\n");
  pause_seconds(seconds * 0.1);
  info("Worker", "default_loader.py:501", "Loading weights took %.2f seconds", seconds * 0.3);
  pause_seconds(seconds * 0.4);
  info("EngineCore", "kv_cache_utils.py:2327",
       "GPU KV cache size: 21,840 tokens, Maximum concurrency for %ld tokens per request: %.2fx", max_model_len,
       21840.0 / (double)max_model_len);
  pause_seconds(seconds * 0.3);
}

static void *age(void *ignored) {
  (void)ignored;
  double crash = env_seconds("STANDIN_CRASH_AFTER", -1), hang = env_seconds("STANDIN_HANG_AFTER", -1),
         die = env_seconds("STANDIN_DEAD_AFTER", -1), wedge = env_seconds("STANDIN_WEDGE_AFTER", -1), passed = 0;
  for (long line = 0, flood = (long)env_seconds("STANDIN_FLOOD_LINES", 0); line < flood; line++)
    printf("flood line %ld of %ld\n", line + 1, flood);
  fflush(stdout);
  for (;; passed += 0.05) {
    if (crash >= 0 && passed >= crash) {
      signal(SIGSEGV, SIG_DFL);
      fprintf(stderr, "!!!!!!! Segfault encountered !!!!!!!\n");
      raise(SIGSEGV);
    }
    if (hang >= 0 && passed >= hang) hanging = true;
    if (die >= 0 && passed >= die) dead = true;
    if (wedge >= 0 && passed >= wedge) wedged = true;
    pause_seconds(0.05);
  }
  return NULL;
}

static void on_sigterm(int number) {
  (void)number;
  const char *text = "INFO:     Shutting down\nINFO:     Waiting for application shutdown.\n"
                     "INFO:     Application shutdown complete.\n";
  if (write(STDOUT_FILENO, text, strlen(text)) < 0) _exit(1);
  _exit(0);
}

static void parse(int count, char **words_given) {
  static const char *gone[] = {"--swap-space", "--disable-log-requests", "--device", "--task",
                               "--guided-decoding-backend", "--use-v2-block-manager"};
  for (int i = 1; i < count; i++) {
    char *word = words_given[i], *equals = strchr(word, '=');
    char *value = equals ? equals + 1 : i + 1 < count ? words_given[i + 1] : "";
    for (size_t g = 0; g < sizeof gone / sizeof *gone; g++)
      if (strncmp(word, gone[g], strlen(gone[g])) == 0) {
        fprintf(stderr, "usage: vllm [-h] [-v] {chat,complete,serve,launch,bench,collect-env,run-batch} ...\n"
                        "vllm: error: unrecognized arguments: %s%s%s\n", word, equals || !*value ? "" : " ", equals ? "" : value);
        exit(2);
      }
    if (i == 2 && word[0] != '-') model_path = word;
    else if (strncmp(word, "--served-model-name", 19) == 0) served_name = value;
    else if (strncmp(word, "--port", 6) == 0) port = atol(value);
    else if (strncmp(word, "--host", 6) == 0) listen_host = value;
    else if (strncmp(word, "--nnodes", 8) == 0) nodes = atol(value);
    else if (strncmp(word, "--node-rank", 11) == 0) node_rank = atol(value);
    else if (strncmp(word, "--master-addr", 13) == 0) master_host = value;
    else if (strncmp(word, "--master-port", 13) == 0) master_port = atol(value);
    else if (strncmp(word, "--headless", 10) == 0) headless = true;
    else if (strncmp(word, "--api-key", 9) == 0) api_key = value;
    else if (strncmp(word, "--max-model-len", 15) == 0) max_model_len = atol(value);
  }
  if (count < 3 || strcmp(words_given[1], "serve") != 0) {
    fprintf(stderr, "usage: vllm serve MODEL [options]\n");
    exit(2);
  }
  if (served_name == NULL) served_name = model_path;
}

static int listener(const char *host, long number) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)number)};
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (inet_pton(AF_INET, host, &address.sin_addr) != 1 ||
      bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 128) != 0) {
    fprintf(stderr, "OSError: [Errno 98] Address already in use: %s:%ld\n", host, number);
    exit(1);
  }
  return fd;
}

/* Rank 0 waits at the master's address for every follower, which keeps trying: as torch's TCPStore does. */
static void meet(void) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)master_port)};
  if (node_rank == 0) {
    int server = listener(master_host, master_port);
    for (long met = 1; met < nodes; met++)
      if (accept4(server, NULL, NULL, SOCK_CLOEXEC) < 0) fail(1);
  } else {
    if (inet_pton(AF_INET, master_host, &address.sin_addr) != 1) fail(1);
    for (;;) {
      int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0) break;
      close(fd);
      pause_seconds(0.1);
    }
  }
  info("Worker", "parallel_state.py:1200", "world_size=%ld rank=%ld distributed_init_method=tcp://%s:%ld backend=nccl",
       nodes, node_rank, master_host, master_port);
}

int main(int count, char **words_given) {
  pthread_t thread;
  pthread_attr_t detached;
  started = time(NULL);
  tokens_per_second = env_seconds("STANDIN_TOKENS_PER_SECOND", 200);
  signal(SIGTERM, env_set("STANDIN_IGNORE_SIGTERM") ? SIG_IGN : on_sigterm);
  prctl(PR_SET_NAME, "vllm");
  parse(count, words_given);
  if (nodes > 1) meet();
  load();
  while (headless) pause_seconds(1);
  int server = listener(listen_host, port);
  info("APIServer", "entry.py:140", "Starting vLLM server on http://%s:%ld", listen_host, port);
  printf("INFO:     Started server process [%d]\nINFO:     Waiting for application startup.\n"
         "INFO:     Application startup complete.\n", (int)getpid());
  fflush(stdout);
  pthread_attr_init(&detached);
  pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize(&detached, 512 * 1024);
  pthread_create(&thread, &detached, age, NULL);
  for (;;) {
    int fd = accept4(server, NULL, NULL, SOCK_CLOEXEC), on = 1;
    if (fd < 0) continue;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (pthread_create(&thread, &detached, serve, (void *)(long)fd) != 0) close(fd);
  }
}
