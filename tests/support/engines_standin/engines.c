/* Stand-ins for the engines besides vLLM: how they are called, when they are ready, which model they list.
 * The program's own name says which engine it is: python3 (-m sglang.launch_server), llama-server,
 * trtllm-serve, start_server.sh (a NIM), ollama, anything (any other server).
 *
 * Environment, all optional:
 *   STANDIN_LOAD_SECONDS   how long loading takes (0.3)
 *   STANDIN_EXIT_CODE      fail while loading, with this code
 */
#include "engines.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "../engine_standin/http.h"

atomic_bool loaded;
char served_name[512] = "";
static const char *engine;
static long port;

double env_number(const char *name, double fallback) {
  const char *value = getenv(name);
  return value && *value ? strtod(value, NULL) : fallback;
}

void pause_seconds(double seconds) {
  struct timespec rest = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
  while (nanosleep(&rest, &rest) != 0) {
  }
}

static bool is(const char *name) { return strcmp(engine, name) == 0; }

static void usage(const char *problem) {
  fprintf(stderr, "%s: error: %s\n", engine, problem);
  exit(2);
}

static const char *option(int count, char **words, const char *name) {
  for (int i = 1; i + 1 < count; i++)
    if (strcmp(words[i], name) == 0) return words[i + 1];
  return NULL;
}

static void name_set(const char *name) { snprintf(served_name, sizeof served_name, "%s", name ? name : ""); }

static void parse(int count, char **words) {
  const char *given = option(count, words, "--port");
  port = given ? atol(given) : 8000;
  if (is("python3")) {
    if (count < 3 || strcmp(words[1], "-m") != 0 || strcmp(words[2], "sglang.launch_server") != 0)
      usage("No module named anything but sglang.launch_server");
    if (!option(count, words, "--model-path")) usage("the following arguments are required: --model-path");
    name_set(option(count, words, "--served-model-name"));
  } else if (is("llama-server")) {
    if (!option(count, words, "--model") && !option(count, words, "--hf-repo")) usage("no model was given");
    name_set(option(count, words, "--alias"));
  } else if (is("trtllm-serve")) {
    if (count < 2 || words[1][0] == '-') usage("Missing argument 'MODEL'.");
    const char *slash = strrchr(words[1], '/');
    name_set(words[1][0] == '/' && slash ? slash + 1 : words[1]);
  } else if (is("start_server.sh")) {
    const char *key = getenv("NGC_API_KEY");
    if (!key || !*key) usage("NGC_API_KEY is not set: the model profile cannot be downloaded");
    printf("key of %zu characters, user %d\n", strlen(key), (int)getuid());
    name_set(getenv("NIM_SERVED_MODEL_NAME"));
  } else if (is("ollama")) {
    if (count != 2 || strcmp(words[1], "serve") != 0) usage("unknown command");
    const char *host = getenv("OLLAMA_HOST"), *colon = host ? strrchr(host, ':') : NULL;
    if (!host || strncmp(host, "0.0.0.0", 7) != 0) usage("it listens on 127.0.0.1, where nobody reaches it");
    port = colon ? atol(colon + 1) : 11434;
    printf("OLLAMA_KEEP_ALIVE:%s\n", getenv("OLLAMA_KEEP_ALIVE") ? getenv("OLLAMA_KEEP_ALIVE") : "5m0s");
  }
}

static void models(int fd) {
  char body[2048];
  snprintf(body, sizeof body,
           "{\"object\":\"list\",\"data\":[{\"id\":\"%s\",\"object\":\"model\",\"created\":1,\"owned_by\":\"%s\"}]}",
           served_name, engine);
  answer(fd, "200 OK", "application/json", body);
}

static void health(int fd) {
  if (loaded) answer(fd, "200 OK", "application/json", "{\"status\":\"ok\"}");
  else
    answer(fd, "503 Service Unavailable", "application/json",
           "{\"error\":{\"code\":503,\"message\":\"Loading model\",\"type\":\"unavailable_error\"}}");
}

static void route(int fd, const struct request *request) {
  const char *path = request->path;
  if (is("ollama") && ollama_route(fd, request)) return;
  if (is("start_server.sh") ? strcmp(path, "/v1/health/ready") == 0 : strcmp(path, "/health") == 0) health(fd);
  else if (!is("anything") && strcmp(path, "/v1/models") == 0 && loaded) models(fd);
  else answer(fd, "404 Not Found", "application/json", "{\"detail\":\"Not Found\"}");
}

static void *serve(void *connection) {
  int fd = (int)(long)connection;
  struct request request;
  bool again = true;
  while (again && request_read(fd, &request)) {
    again = request.keep_alive;
    route(fd, &request);
    free(request.body);
  }
  close(fd);
  return NULL;
}

static void load(void) {
  pause_seconds(is("ollama") ? 0 : env_number("STANDIN_LOAD_SECONDS", 0.3));
  if (getenv("STANDIN_EXIT_CODE")) {
    fprintf(stderr, "RuntimeError: the model could not be loaded\n");
    exit(atoi(getenv("STANDIN_EXIT_CODE")));
  }
  loaded = true;
}

static void *load_behind(void *nothing) {
  load();
  return nothing;
}

static void on_sigterm(int number) {
  (void)number;
  _exit(0);
}

int main(int count, char **words) {
  const char *slash = strrchr(words[0], '/');
  engine = slash ? slash + 1 : words[0];
  signal(SIGTERM, on_sigterm);
  parse(count, words);
  printf("stand-in for %s on port %ld, model %s\n", engine, port, served_name);
  fflush(stdout);
  pthread_t thread;
  /* llama.cpp, SGLang and NIMs listen while they load and say so; the others do not. */
  if (is("llama-server") || is("python3") || is("start_server.sh")) pthread_create(&thread, NULL, load_behind, NULL);
  else load();
  int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
  setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(server, (struct sockaddr *)&address, sizeof address) != 0 || listen(server, 64) != 0) return 1;
  for (;;) {
    int fd = accept4(server, NULL, NULL, SOCK_CLOEXEC);
    if (fd >= 0 && pthread_create(&thread, NULL, serve, (void *)(long)fd) == 0) pthread_detach(thread);
  }
}
