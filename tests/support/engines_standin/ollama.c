/* Ollama's answers: its models are files below $HOME/.ollama/models, empty but for a pull's bytes so far. */
#include "engines.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../engine_standin/http.h"

#define DIGEST "sha256:1f1d4b1ad0e9bd7ba1b8f2a1a9e3b2a6c0f3d5b7e9a1c3d5e7f9a1b3c5d7e9f1"
#define CONFIG "sha256:2a2e5c2be1fac8cb2c903b2bafc4c3b7d1f4e6c8fab2d4e6f8a0b2c4d6e8fa02"

static const char *folder(void) {
  static char path[256];
  if (path[0] == 0) {
    const char *home = getenv("HOME");
    snprintf(path, sizeof path, "%s/.ollama", home && *home ? home : "/root");
    mkdir(path, 0755);
    strcat(path, "/models");
    mkdir(path, 0755);
  }
  return path;
}

/* The file of a model: slashes become %, a missing tag becomes latest. */
static void file_of(const char *model, const char *ending, char *out, size_t size) {
  const char *slash = strrchr(model, '/');
  const char *tag = strchr(slash ? slash : model, ':') ? "" : ":latest";
  int start = snprintf(out, size, "%s/", folder());
  snprintf(out + start, size - (size_t)start, "%s%s%s", model, tag, ending);
  for (char *at = out + start; *at; at++)
    if (*at == '/') *at = '%';
}

static bool line_send(int fd, const char *text) {
  char chunk[1200];
  int length = snprintf(chunk, sizeof chunk, "%zx\r\n%s\n\r\n", strlen(text) + 1, text);
  return send(fd, chunk, (size_t)length, MSG_NOSIGNAL) == length;
}

static bool begin(int fd) {
  const char *head = "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n";
  return send(fd, head, strlen(head), MSG_NOSIGNAL) > 0;
}

static void end(int fd) { send(fd, "0\r\n\r\n", 5, MSG_NOSIGNAL); }

static long partial_read(const char *path) {
  long bytes = 0;
  FILE *file = fopen(path, "r");
  if (file) {
    if (fscanf(file, "%ld", &bytes) != 1) bytes = 0;
    fclose(file);
  }
  return bytes;
}

static void number_write(const char *path, long bytes) {
  FILE *file = fopen(path, "w");
  if (file) {
    fprintf(file, "%ld", bytes);
    fclose(file);
  }
}

/* Environment: STANDIN_PULL_SECONDS (0.5), STANDIN_PULL_BYTES (1000000), STANDIN_PULL_ERROR (its words),
 * STANDIN_PULL_BREAK=1 (hang up half-way, once in the life of the server). */
static void pull(int fd, const struct request *request) {
  static atomic_bool broken;
  char model[256], path[600], partial[600], text[512];
  const char *error = getenv("STANDIN_PULL_ERROR");
  long total = (long)env_number("STANDIN_PULL_BYTES", 1000000);
  double seconds = env_number("STANDIN_PULL_SECONDS", 0.5);
  json_text(request->body, "model", model, sizeof model);
  file_of(model, "", path, sizeof path);
  file_of(model, ".partial", partial, sizeof partial);
  printf("pull %s\n", model);
  fflush(stdout);
  bool open = begin(fd) && line_send(fd, "{\"status\":\"pulling manifest\"}");
  if (error && *error) {
    snprintf(text, sizeof text, "{\"error\":\"%s\"}", error);
    line_send(fd, text);
    end(fd);
    return;
  }
  long done = partial_read(partial);
  if (done > 0) {
    printf("resume %s at %ld\n", model, done);
    fflush(stdout);
  }
  while (open && done < total) {
    if (getenv("STANDIN_PULL_BREAK") && done >= total / 2 && !atomic_exchange(&broken, true)) return;
    snprintf(text, sizeof text, "{\"status\":\"pulling 1f1d4b1ad0e9\",\"digest\":\"" DIGEST "\",\"total\":%ld,\"completed\":%ld}", total, done);
    open = line_send(fd, text);
    pause_seconds(seconds / 20);
    done += total / 20 ? total / 20 : 1;
    number_write(partial, done < total ? done : total);
  }
  if (!open) return;
  snprintf(text, sizeof text, "{\"status\":\"pulling 1f1d4b1ad0e9\",\"digest\":\"" DIGEST "\",\"total\":%ld,\"completed\":%ld}", total, total);
  line_send(fd, text);
  line_send(fd, "{\"status\":\"pulling 2a2e5c2be1fa\",\"digest\":\"" CONFIG "\",\"total\":487,\"completed\":487}");
  line_send(fd, "{\"status\":\"verifying sha256 digest\"}");
  line_send(fd, "{\"status\":\"writing manifest\"}");
  number_write(path, total);
  unlink(partial);
  line_send(fd, "{\"status\":\"success\"}");
  end(fd);
}

static void tags(int fd, bool running) {
  char body[8192] = "{\"models\":[", name[300];
  size_t at = strlen(body);
  DIR *models = running ? NULL : opendir(folder());
  for (struct dirent *entry; models && (entry = readdir(models)) != NULL;) {
    if (entry->d_name[0] == '.' || strstr(entry->d_name, ".partial")) continue;
    snprintf(name, sizeof name, "%s", entry->d_name);
    for (char *c = name; *c; c++)
      if (*c == '%') *c = '/';
    at += (size_t)snprintf(body + at, sizeof body - at,
                           "%s{\"name\":\"%s\",\"model\":\"%s\",\"modified_at\":\"2026-01-01T00:00:00Z\",\"size\":1000487,"
                           "\"digest\":\"1f1d4b1ad0e9\",\"details\":{\"format\":\"gguf\",\"family\":\"llama\"}}",
                           body[at - 1] == '[' ? "" : ",", name, name);
  }
  if (models) closedir(models);
  snprintf(body + at, sizeof body - at, "]}");
  answer(fd, "200 OK", "application/json; charset=utf-8", body);
}

bool ollama_route(int fd, const struct request *request) {
  bool get = strcmp(request->method, "GET") == 0;
  if (get && strcmp(request->path, "/api/version") == 0)
    answer(fd, "200 OK", "application/json; charset=utf-8", "{\"version\":\"0.15.0\"}");
  else if (get && strcmp(request->path, "/api/tags") == 0) tags(fd, false);
  else if (get && strcmp(request->path, "/api/ps") == 0) tags(fd, true);
  else if (strcmp(request->method, "POST") == 0 && strcmp(request->path, "/api/pull") == 0) pull(fd, request);
  else return false;
  return true;
}
