--- Every module that a worker, or the child that tries a config, is going to need: loaded by the master before it forks, so that neither
--- reads them again. Loading a module does nothing but define it.
for _, name in ipairs {
    "init", "plan", "evaluate", "snapshot", "fingerprint", "lint", "serve", "proxy",
    "worker", "await", "chain", "compose", "generation", "loop", "response", "request", "holders", "vitals", "questions", "explain", "isolate",
    "coroutines", "tasks", "json",
} do
    require(name == "init" and "moongate" or "moongate." .. name)
end
