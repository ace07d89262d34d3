#include "http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

static bool send_all(int fd, const char *data, size_t length) {
  while (length > 0) {
    ssize_t sent = send(fd, data, length, MSG_NOSIGNAL);
    if (sent <= 0) return false;
    data += sent;
    length -= (size_t)sent;
  }
  return true;
}

static const char *header(const char *head, const char *name) {
  size_t length = strlen(name);
  for (const char *line = strstr(head, "\r\n"); line != NULL; line = strstr(line, "\r\n")) {
    line += 2;
    if (strncasecmp(line, name, length) == 0 && line[length] == ':') {
      line += length + 1;
      while (*line == ' ') line++;
      return line;
    }
  }
  return NULL;
}

static void header_copy(const char *head, const char *name, char *out, size_t size) {
  const char *value = header(head, name);
  size_t length = value ? strcspn(value, "\r\n") : 0;
  if (length >= size) length = size - 1;
  if (length > 0) memcpy(out, value, length);
  out[length] = 0;
}

bool request_read(int fd, struct request *request) {
  static _Thread_local char head[HEAD_MAX + 1];
  size_t have = 0;
  char *end = NULL;
  while (end == NULL) {
    if (have == HEAD_MAX) return false;
    ssize_t got = recv(fd, head + have, HEAD_MAX - have, 0);
    if (got <= 0) return false;
    have += (size_t)got;
    head[have] = 0;
    end = strstr(head, "\r\n\r\n");
  }
  if (sscanf(head, "%7s %255s", request->method, request->path) != 2) return false;
  char value[32];
  end[2] = 0;
  header_copy(head, "content-length", value, sizeof value);
  header_copy(head, "authorization", request->authorization, sizeof request->authorization);
  long length = strtol(value, NULL, 10);
  header_copy(head, "connection", value, sizeof value);
  request->keep_alive = strcasecmp(value, "close") != 0;
  if (length < 0 || length > BODY_MAX) return false;

  size_t early = have - (size_t)(end + 4 - head);
  if (early > (size_t)length) return false; /* pipelining: nobody here does it */
  request->body = malloc((size_t)length + 1);
  memcpy(request->body, end + 4, early);
  while (early < (size_t)length) {
    ssize_t got = recv(fd, request->body + early, (size_t)length - early, 0);
    if (got <= 0) {
      free(request->body);
      return false;
    }
    early += (size_t)got;
  }
  request->body[length] = 0;
  return true;
}

bool answer(int fd, const char *status, const char *type, const char *body) {
  char head[512];
  int length = snprintf(head, sizeof head,
                        "HTTP/1.1 %s\r\nserver: uvicorn\r\ncontent-type: %s\r\ncontent-length: %zu\r\n\r\n", status,
                        type, strlen(body));
  return send_all(fd, head, (size_t)length) && send_all(fd, body, strlen(body));
}

bool events_begin(int fd) {
  const char *head = "HTTP/1.1 200 OK\r\nserver: uvicorn\r\n"
                     "content-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n";
  return send_all(fd, head, strlen(head));
}

bool event(int fd, const char *data) {
  size_t size = strlen(data) + 64;
  char *chunk = malloc(size);
  int length = snprintf(chunk, size, "%zx\r\ndata: %s\n\n\r\n", strlen(data) + 8, data);
  bool sent = send_all(fd, chunk, (size_t)length);
  free(chunk);
  return sent;
}

bool events_end(int fd) { return send_all(fd, "0\r\n\r\n", 5); }

static const char *json_value(const char *json, const char *key) {
  char quoted[64];
  size_t length = (size_t)snprintf(quoted, sizeof quoted, "\"%s\"", key);
  for (const char *at = strstr(json, quoted); at != NULL; at = strstr(at, quoted)) {
    at += length;
    at += strspn(at, " \t\r\n");
    if (*at == ':') return at + 1 + strspn(at + 1, " \t\r\n");
  }
  return NULL;
}

void json_text(const char *json, const char *key, char *out, size_t size) {
  out[0] = 0;
  for (const char *at = json_value(json, key); at != NULL; at = json_value(at, key)) {
    if (*at != '"') continue;
    size_t length = 0;
    for (at++; *at && *at != '"' && length + 3 < size; at++) {
      out[length++] = *at;
      if (*at == '\\' && at[1]) out[length++] = *++at;
    }
    out[length] = 0;
  }
}

long json_number(const char *json, const char *key, long fallback) {
  const char *at = json_value(json, key);
  if (at == NULL) return fallback;
  if (strncmp(at, "true", 4) == 0) return 1;
  if (strncmp(at, "false", 5) == 0) return 0;
  char *end;
  long value = strtol(at, &end, 10);
  return end == at ? fallback : value;
}
