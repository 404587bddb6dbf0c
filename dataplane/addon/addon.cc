// SPDX-License-Identifier: Apache-2.0
// The engine inside Node. The process has one engine, whatever the number of JavaScript environments: a second start is
// refused. Calls run on libuv's threads, events come from the control thread; workers never meet JavaScript.
#include <napi.h>

#include <memory>
#include <mutex>
#include <shared_mutex>

#include "api/calls.h"
#include "core/eal.h"
#include "core/service_manager.h"

namespace {

using fulcrum::Engine;

std::mutex engine_mutex;
// Calls share it, stop() has it alone: nobody meets an engine that is being taken apart.
std::shared_mutex calls_mutex;
std::shared_ptr<Engine> engine;
bool was_started = false;

std::shared_ptr<Engine> current() {
  const std::lock_guard lock(engine_mutex);
  return engine;
}

Napi::Error error_with_code(Napi::Env env, const std::string& code, const std::string& message) {
  Napi::Error error = Napi::Error::New(env, message);
  error.Set("code", code);
  return error;
}

std::string bytes_of(const Napi::CallbackInfo& info, size_t argument) {
  if (info.Length() <= argument || !info[argument].IsTypedArray())
    throw error_with_code(info.Env(), "ERR_INVALID_ARG_TYPE",
                          "argument " + std::to_string(argument) + " must be a Uint8Array");
  const auto array = info[argument].As<Napi::Uint8Array>();
  return {reinterpret_cast<const char*>(array.Data()), array.ByteLength()};
}

void start(const Napi::CallbackInfo& info) {
  fulcrum::dataplane::v1::StartConfig message;
  if (!message.ParseFromString(bytes_of(info, 0)))
    throw error_with_code(info.Env(), "ERR_INVALID_ARG_VALUE", "the configuration is not a StartConfig");
  const std::lock_guard lock(engine_mutex);
  if (was_started)
    throw error_with_code(info.Env(), "ERR_DATAPLANE_RUNNING",
                          "this process has started a dataplane already; DPDK starts once a process");
  was_started = true;
  try {
    auto started = std::make_shared<Engine>(fulcrum::api::start_config(message));
    started->launch();
    engine = std::move(started);
  } catch (const std::exception& error) {
    throw error_with_code(info.Env(), "ERR_DATAPLANE_START", error.what());
  }
}

class Call : public Napi::AsyncWorker {
 public:
  Call(Napi::Env env, std::string method, std::string request)
      : AsyncWorker(env), deferred_(env), method_(std::move(method)), request_(std::move(request)) {}
  Napi::Promise promise() const { return deferred_.Promise(); }

 protected:
  void Execute() override {
    const std::shared_lock lock(calls_mutex);
    try {
      const std::shared_ptr<Engine> at = current();
      if (at == nullptr) throw fulcrum::api::CallError("UNAVAILABLE", "the dataplane does not run");
      response_ = fulcrum::api::call(*at, method_, request_);
    } catch (const fulcrum::api::CallError& error) {
      code_ = error.code();
      SetError(error.what());
    } catch (const std::exception& error) {
      code_ = "INTERNAL";
      SetError(error.what());
    }
  }
  void OnOK() override { deferred_.Resolve(Napi::Buffer<char>::Copy(Env(), response_.data(), response_.size())); }
  void OnError(const Napi::Error& error) override {
    Napi::Error coded = error;
    coded.Set("code", code_);
    deferred_.Reject(coded.Value());
  }

 private:
  Napi::Promise::Deferred deferred_;
  std::string method_, request_, response_, code_;
};

Napi::Value call(const Napi::CallbackInfo& info) {
  auto* worker = new Call(info.Env(), info[0].ToString().Utf8Value(), bytes_of(info, 1));
  const Napi::Promise promise = worker->promise();
  worker->Queue();
  return promise;
}

void on_event(const Napi::CallbackInfo& info) {
  const std::shared_ptr<Engine> at = current();
  if (at == nullptr) throw error_with_code(info.Env(), "ERR_DATAPLANE_NOT_RUNNING", "start() first");
  constexpr size_t kQueued = 1024;  // a stalled reader loses events, never memory
  auto handler = Napi::ThreadSafeFunction::New(info.Env(), info[0].As<Napi::Function>(), "fulcrum events", kQueued, 1);
  handler.Unref(info.Env());
  at->on_event([handler](const fulcrum::Event& event) {
    auto bytes = std::make_unique<std::string>(fulcrum::api::event_bytes(event));
    const auto deliver = [](Napi::Env env, Napi::Function function, std::string* held) {
      const std::unique_ptr<std::string> owned(held);
      function.Call({Napi::Buffer<char>::Copy(env, owned->data(), owned->size())});
    };
    if (handler.NonBlockingCall(bytes.get(), deliver) == napi_ok) bytes.release();
  });
}

Napi::Value log_fd(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), fulcrum::LogTap::instance().read_fd());
}

void stop(const Napi::CallbackInfo&) {
  std::shared_ptr<Engine> stopped;
  {
    const std::lock_guard lock(engine_mutex);
    stopped = std::move(engine);
    engine.reset();
  }
  if (stopped == nullptr) return;
  // Calls that wait for a worker give up now.
  stopped->shared().running.store(false);
  const std::unique_lock lock(calls_mutex);
  stopped->stop();
}

Napi::Value notify(const Napi::CallbackInfo& info) {
  const std::string state = info[0].ToString().Utf8Value();
  return Napi::Boolean::New(info.Env(), fulcrum::ServiceManager::from_environment().tell(state));
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  exports.Set("start", Napi::Function::New(env, start));
  exports.Set("call", Napi::Function::New(env, call));
  exports.Set("onEvent", Napi::Function::New(env, on_event));
  exports.Set("logFd", Napi::Function::New(env, log_fd));
  exports.Set("notify", Napi::Function::New(env, notify));
  exports.Set("stop", Napi::Function::New(env, stop));
  return exports;
}

}  // namespace

NODE_API_MODULE(dataplane, init)
