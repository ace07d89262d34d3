/* What the stand-in answers: vLLM's paths, shapes, errors and metric names. */
#include "standin.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "http.h"

#define FINGERPRINT ",\"system_fingerprint\":\"vllm-0.32.0-standin0\""

static atomic_long running, finished_stop, finished_length, prompt_tokens, generation_tokens, serial;

void pause_seconds(double seconds) {
  struct timespec rest = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
  while (nanosleep(&rest, &rest) != 0) {
  }
}

static void refuse(int fd, const char *status, const char *kind, const char *param, int code, const char *format, ...) {
  char message[1024], body[2048];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(message, sizeof message, format, arguments);
  va_end(arguments);
  snprintf(body, sizeof body, "{\"error\":{\"message\":\"%s\",\"type\":\"%s\",\"param\":%s,\"code\":%d}}", message, kind,
           param, code);
  answer(fd, status, "application/json", body);
}

static void models(int fd) {
  char body[2048];
  long now = (long)time(NULL);
  snprintf(body, sizeof body,
           "{\"object\":\"list\",\"data\":[{\"id\":\"%s\",\"object\":\"model\",\"created\":%ld,\"owned_by\":\"vllm\","
           "\"root\":\"%s\",\"parent\":null,\"max_model_len\":%ld,\"permission\":[{\"id\":\"modelperm-%lx\","
           "\"object\":\"model_permission\",\"created\":%ld,\"allow_create_engine\":false,\"allow_sampling\":true,"
           "\"allow_logprobs\":true,\"allow_search_indices\":false,\"allow_view\":true,\"allow_fine_tuning\":false,"
           "\"organization\":\"*\",\"group\":null,\"is_blocking\":false}]}]}",
           served_name, now, model_path, max_model_len, now, now);
  answer(fd, "200 OK", "application/json", body);
}

static void metrics(int fd) {
  static atomic_long one = 1;
  static const struct {
    const char *name, *kind, *label;
    atomic_long *value;
  } plain[] = {{"num_requests_running", "gauge", "", &running},
               {"num_requests_waiting", "gauge", "", NULL},
               {"kv_cache_usage_perc", "gauge", "", NULL},
               {"engine_sleep_state", "gauge", ",sleep_state=\"awake\"", &one},
               {"engine_sleep_state", "gauge", ",sleep_state=\"weights_offloaded\"", NULL},
               {"engine_sleep_state", "gauge", ",sleep_state=\"discard_all\"", NULL},
               {"num_preemptions_total", "counter", "", NULL},
               {"prefix_cache_queries_total", "counter", "", NULL},
               {"prefix_cache_hits_total", "counter", "", NULL},
               {"prompt_tokens_total", "counter", "", &prompt_tokens},
               {"generation_tokens_total", "counter", "", &generation_tokens},
               {"request_success_total", "counter", ",finished_reason=\"stop\"", &finished_stop},
               {"request_success_total", "counter", ",finished_reason=\"length\"", &finished_length},
               {"request_success_total", "counter", ",finished_reason=\"abort\"", NULL},
               {"request_success_total", "counter", ",finished_reason=\"error\"", NULL},
               {"request_success_total", "counter", ",finished_reason=\"repetition\"", NULL}};
  static const char *histograms[] = {"time_to_first_token_seconds", "inter_token_latency_seconds",
                                     "e2e_request_latency_seconds", "request_queue_time_seconds",
                                     "request_prefill_time_seconds", "request_decode_time_seconds"};
  char body[16384], label[512];
  const char *before = "";
  size_t at = 0;
  snprintf(label, sizeof label, "engine=\"0\",model_name=\"%s\"", served_name);
  for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
    const char *name = plain[i].name;
    if (strcmp(name, before) != 0)
      at += (size_t)snprintf(body + at, sizeof body - at, "# TYPE vllm:%s %s\n", name, plain[i].kind);
    at += (size_t)snprintf(body + at, sizeof body - at, "vllm:%s{%s%s} %ld.0\n", name, label, plain[i].label,
                           plain[i].value ? *plain[i].value : 0);
    before = name;
  }
  long done = finished_stop + finished_length;
  for (size_t i = 0; i < sizeof histograms / sizeof *histograms; i++)
    at += (size_t)snprintf(body + at, sizeof body - at,
                           "# TYPE vllm:%s histogram\nvllm:%s_bucket{%s,le=\"+Inf\"} %ld.0\n"
                           "vllm:%s_count{%s} %ld.0\nvllm:%s_sum{%s} %f\n",
                           histograms[i], histograms[i], label, done, histograms[i], label, done, histograms[i], label,
                           0.01 * (double)done);
  answer(fd, "200 OK", "text/plain; version=1.0.0; charset=utf-8", body);
}

static long words(const char *text) {
  long count = 0;
  for (const char *at = text; *at; at++) count += *at != ' ' && (at == text || at[-1] == ' ');
  return count;
}

/* The next word of an escaped text with the space before it; splitting at spaces cuts no escape. */
static const char *next_word(const char *at, char *out, size_t size) {
  size_t length = strspn(at, " ");
  length += strcspn(at + length, " ");
  if (length >= size) length = size - 1;
  memcpy(out, at, length);
  out[length] = 0;
  return at + length;
}

static void count_end(const char *reason) {
  running--;
  if (strcmp(reason, "stop") == 0) finished_stop++;
  if (strcmp(reason, "length") == 0) finished_length++; /* vLLM counts no request whose client has gone */
}

static bool chunk(int fd, const char *id, const char *choices, const char *rest) {
  char data[4096];
  snprintf(data, sizeof data,
           "{\"id\":\"%s\",\"object\":\"chat.completion.chunk\",\"created\":%ld,\"model\":\"%s\",\"choices\":[%s]%s}", id,
           (long)time(NULL), served_name, choices, rest);
  return event(fd, data);
}

/* One word; `ending` is NULL, or why the answer ends with it. */
static bool word_chunk(int fd, const char *id, const char *word, const char *ending, bool usage) {
  char choice[2048], end[64] = "null";
  if (ending) snprintf(end, sizeof end, "\"%s\",\"stop_reason\":null", ending);
  snprintf(choice, sizeof choice,
           "{\"index\":0,\"delta\":{\"content\":\"%s\"},\"logprobs\":null,\"finish_reason\":%s,\"token_ids\":null}", word,
           end);
  return chunk(fd, id, choice, ending && !usage ? FINGERPRINT : "");
}

static const char *chat_stream(int fd, const char *id, const char *text, long limit, bool usage, long asked) {
  char word[1024], counts[256];
  bool open = events_begin(fd) &&
              chunk(fd, id, "{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":null,"
                            "\"finish_reason\":null}", ",\"prompt_token_ids\":null,\"prompt_text\":null");
  long made = 0;
  while (open && *text && made < limit) {
    text = next_word(text, word, sizeof word);
    pause_seconds(1.0 / tokens_per_second);
    made++;
    generation_tokens++;
    open = word_chunk(fd, id, word, made == limit && *text ? "length" : NULL, usage);
  }
  const char *reason = *text ? "length" : "stop";
  if (open && !*text) open = word_chunk(fd, id, "", reason, usage); /* as the token that ends an answer */
  if (open && usage) {
    snprintf(counts, sizeof counts,
             ",\"usage\":{\"prompt_tokens\":%ld,\"total_tokens\":%ld,\"completion_tokens\":%ld}%s", asked, asked + made,
             made, FINGERPRINT);
    open = chunk(fd, id, "", counts);
  }
  open = open && event(fd, "[DONE]") && events_end(fd);
  return open ? reason : "abort";
}

static const char *chat_whole(int fd, const char *id, const char *text, long limit, long asked) {
  char *kept = malloc(strlen(text) + 1), *body = malloc(strlen(text) + 2048), word[1024];
  long made = 0;
  kept[0] = 0;
  while (*text && made < limit) {
    text = next_word(text, word, sizeof word);
    strcat(kept, word);
    pause_seconds(1.0 / tokens_per_second);
    made++;
    generation_tokens++;
  }
  const char *reason = *text ? "length" : "stop";
  sprintf(body,
          "{\"id\":\"%s\",\"object\":\"chat.completion\",\"created\":%ld,\"model\":\"%.200s\",\"choices\":[{\"index\":0,"
          "\"message\":{\"role\":\"assistant\",\"content\":\"%s\",\"refusal\":null,\"annotations\":null,\"audio\":null,"
          "\"function_call\":null,\"reasoning\":null},\"logprobs\":null,\"finish_reason\":\"%s\",\"stop_reason\":null,"
          "\"token_ids\":null,\"routed_experts\":null}],\"service_tier\":null" FINGERPRINT ",\"usage\":{\"prompt_tokens\":%ld,"
          "\"total_tokens\":%ld,\"completion_tokens\":%ld,\"prompt_tokens_details\":null,"
          "\"completion_tokens_details\":null},\"prompt_logprobs\":null,\"prompt_token_ids\":null,\"prompt_text\":null,"
          "\"kv_transfer_params\":null,\"ec_transfer_params\":null,\"metrics\":null}",
          id, (long)time(NULL), served_name, kept, reason, asked, asked + made, made);
  bool sent = answer(fd, "200 OK", "application/json", body);
  free(kept);
  free(body);
  return sent ? reason : "abort";
}

static void chat(int fd, const struct request *request) {
  const char *messages = strstr(request->body, "\"messages\"");
  char name[256], id[64];
  json_text(request->body, "model", name, sizeof name);
  if (messages == NULL) {
    refuse(fd, "400 Bad Request", "Bad Request", "\"body.messages\"", 400,
           "1 validation error:\\n  {'type': 'missing', 'loc': 'body.messages', 'msg': 'Field required'}");
    return;
  }
  if (name[0] && strcmp(name, served_name) != 0) {
    refuse(fd, "404 Not Found", "NotFoundError", "\"model\"", 404, "The model `%s` does not exist. Valid aliases: %s.", name,
           served_name);
    return;
  }
  char *said = malloc(strlen(messages) + 16);
  strcpy(said, "You said: ");
  json_text(messages, "content", said + 10, strlen(messages) + 1);
  long asked = words(messages), limit = json_number(request->body, "max_tokens", max_model_len);
  limit = json_number(request->body, "max_completion_tokens", limit);
  if (limit > max_model_len) {
    refuse(fd, "400 Bad Request", "BadRequestError", "\"max_tokens\"", 400,
           "max_tokens=%ld cannot be greater than max_model_len=%ld. Please request fewer output tokens. "
           "(parameter=max_tokens, value=%ld)",
           limit, max_model_len, limit);
  } else if (asked > max_model_len) {
    refuse(fd, "400 Bad Request", "BadRequestError", "\"input_tokens\"", 400,
           "This model's maximum context length is %ld tokens. However, your prompt contains at least %ld input tokens, "
           "which exceeds this limit even without any output tokens. Please reduce the length of the input prompt. "
           "(parameter=input_tokens, value=%ld)",
           max_model_len, max_model_len + 1, max_model_len + 1);
  } else {
    snprintf(id, sizeof id, "chatcmpl-%08lx%08lx", (long)started, ++serial);
    running++;
    prompt_tokens += asked;
    while (wedged) pause_seconds(1);
    bool stream = json_number(request->body, "stream", 0) == 1;
    bool usage = json_number(request->body, "include_usage", 0) == 1;
    count_end(stream ? chat_stream(fd, id, said, limit, usage, asked) : chat_whole(fd, id, said, limit, asked));
  }
  free(said);
}

/* A whole answer of /v1/completions, one word for each token asked for. */
static void completion(int fd, const struct request *request) {
  char body[2048], name[256];
  long limit = json_number(request->body, "max_tokens", 16);
  json_text(request->body, "model", name, sizeof name);
  if (name[0] && strcmp(name, served_name) != 0) {
    refuse(fd, "404 Not Found", "NotFoundError", "\"model\"", 404, "The model `%s` does not exist. Valid aliases: %s.", name,
           served_name);
    return;
  }
  running++;
  prompt_tokens++;
  while (wedged) pause_seconds(1);
  generation_tokens += limit;
  count_end("length");
  snprintf(body, sizeof body,
           "{\"id\":\"cmpl-%lx\",\"object\":\"text_completion\",\"created\":%ld,\"model\":\"%s\",\"choices\":[{\"index\":0,"
           "\"text\":\" word\",\"logprobs\":null,\"finish_reason\":\"length\",\"stop_reason\":null,\"token_ids\":null,"
           "\"prompt_logprobs\":null,\"prompt_token_ids\":null,\"routed_experts\":null}],\"service_tier\":null" FINGERPRINT
           ",\"usage\":{\"prompt_tokens\":1,\"total_tokens\":%ld,\"completion_tokens\":%ld,\"prompt_tokens_details\":null,"
           "\"completion_tokens_details\":null},\"kv_transfer_params\":null,\"ec_transfer_params\":null,\"metrics\":null}",
           ++serial, (long)time(NULL), served_name, limit + 1, limit);
  answer(fd, "200 OK", "application/json", body);
}

static bool authorized(const struct request *request) {
  char expected[512];
  snprintf(expected, sizeof expected, "Bearer %s", api_key ? api_key : "");
  return api_key == NULL || strncmp(request->path, "/v1", 3) != 0 || strcmp(request->authorization, expected) == 0;
}

static bool known(const char *path) {
  static const char *paths[] = {"/health", "/v1/models", "/metrics", "/version", "/v1/chat/completions",
                                "/v1/completions"};
  for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
    if (strcmp(path, paths[i]) == 0) return true;
  return false;
}

static void route(int fd, const struct request *request) {
  const char *path = request->path;
  bool get = strcmp(request->method, "GET") == 0, post = strcmp(request->method, "POST") == 0;
  if (!authorized(request)) answer(fd, "401 Unauthorized", "application/json", "{\"error\":\"Unauthorized\"}");
  else if (get && strcmp(path, "/health") == 0) answer(fd, dead ? "503 Service Unavailable" : "200 OK", "text/plain", "");
  else if (get && strcmp(path, "/v1/models") == 0) models(fd);
  else if (get && strcmp(path, "/metrics") == 0) metrics(fd);
  else if (get && strcmp(path, "/version") == 0) answer(fd, "200 OK", "application/json", "{\"version\":\"0.32.0\"}");
  else if (post && strcmp(path, "/v1/chat/completions") == 0) chat(fd, request);
  else if (post && strcmp(path, "/v1/completions") == 0) completion(fd, request);
  else if (known(path)) answer(fd, "405 Method Not Allowed", "application/json", "{\"detail\":\"Method Not Allowed\"}");
  else answer(fd, "404 Not Found", "application/json", "{\"detail\":\"Not Found\"}");
}

void *serve(void *argument) {
  int fd = (int)(long)argument;
  struct request request;
  bool again = true;
  while (again && request_read(fd, &request)) {
    while (hanging) pause_seconds(1);
    again = request.keep_alive;
    route(fd, &request);
    free(request.body);
  }
  close(fd);
  return NULL;
}
