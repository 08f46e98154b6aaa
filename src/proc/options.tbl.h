/* The command line as tables: commands, options and exit codes. The parser, every --help and `moongate help` are made from them.
 *
 *   COMMAND(ID, name, words, least, most, summary)   number of words allowed after it; summary NULL: known, but not shown
 *   OPTION(ID, long, short, argument, commands, prose)   argument NULL: a switch; "[=X]": only after "="
 *   EXIT(ID, code, prose) */
#ifdef COMMAND
COMMAND(RUN, "run", "[FILE]", 0, 1, "serve a config or an app (default conf/moongate.lua, else the installed one)")
COMMAND(SERVE, "serve", "DIR", 0, 1, "serve the files of a folder, no config needed")
COMMAND(PROXY, "proxy", "ADDR UPSTREAM...", 2, 64, "listen on ADDR and pass requests on, no config needed")
COMMAND(CHECK, "check", "FILE", 1, 1, "show all problems of a config, as file:line:column")
COMMAND(ROUTES, "routes", "[FILE]", 0, 1, "show the compiled table of routes")
COMMAND(EXPLAIN, "explain", "METHOD URL", 2, 2, "show which route a request takes and why, its filters, handler and limits")
COMMAND(STOP, "stop", "", 0, 0, "let a running instance finish its requests and end")
COMMAND(RELOAD, "reload", "", 0, 0, "put the changed config and scripts of a running instance in service, or show their problems")
COMMAND(UPGRADE, "upgrade", "", 0, 0, "let the program that is now at its path take over from the running one")
COMMAND(STATUS, "status", "", 0, 0, "show a running instance and its workers")
COMMAND(GENERATIONS, "generations", "", 0, 0, "show which versions of the config are alive in a running instance, and what holds them")
COMMAND(JIT, "jit", "", 0, 0, "show which routes of a running instance run compiled, which do not, where and why")
COMMAND(TOP, "top", "", 0, 0, "show a running instance live: requests a second, workers, memory, what runs for longest")
COMMAND(UPSTREAM, "upstream", "[list|config [NAME] | add|remove|drain|down|up|weight NAME SERVER ...]", 0, 8,
        "show the servers of a running instance, or change them in all its workers, reloads included: add api 10.0.0.3:80 weight=2 max=100 backup")
COMMAND(DOCTOR, "doctor", "", 0, 0, "show what this machine offers to the gateway, and the command that mends what is missing")
COMMAND(VERSION, "version", "", 0, 0, "show the version and what it was built with")
COMMAND(HELP, "help", "[COMMAND | exit-codes]", 0, 1, "show how a command is used, or what the exit codes mean")
#endif

#ifdef OPTION
OPTION(LISTEN, "listen", 0, "ADDR", FOR(RUN) | FOR(SERVE),
       "listen here instead of where the config says: HOST:PORT, [V6]:PORT, :PORT, unix:/path; may be repeated; port 0 picks a free one")
OPTION(WORKERS, "workers", 'w', "N|auto", FOR(RUN) | FOR(SERVE) | FOR(PROXY), "processes that serve; auto: one per CPU that may be used")
OPTION(ENGINE, "engine", 0, "NAME", FOR(RUN) | FOR(SERVE) | FOR(PROXY),
       "what moves the bytes: io_uring, epoll, or auto: io_uring, and epoll where that is refused; also $MOONGATE_ENGINE")
OPTION(NAME, "name", 0, "NAME", FOR(RUN) | FOR(SERVE) | FOR(PROXY) | FOR(EXPLAIN) | FOR(STOP) | FOR(RELOAD) | FOR(UPGRADE) | FOR(STATUS) | FOR(GENERATIONS) |
           FOR(JIT) | FOR(TOP) | FOR(UPSTREAM),
       "of the instance; by default the config's file name to start, and the only instance running to ask")
OPTION(WAIT, "wait-for-port", 0, "[=SECONDS]", FOR(RUN) | FOR(SERVE) | FOR(PROXY),
       "wait for an address in use to become free, 30 seconds unless said otherwise")
OPTION(ADDR, "addr", 'i', "HOST", FOR(SERVE), "address to listen on (default 127.0.0.1)")
OPTION(PORT, "port", 'p', "PORT", FOR(SERVE), "port to listen on (default 8080)")
OPTION(ROOT, "docs-root", 'r', "DIR", FOR(SERVE), "the folder, for those who like it as an option")
OPTION(WATCH, "watch", 0, NULL, FOR(RUN), "reload whenever a file of the config has changed, as with reload = \"watch\" in it")
OPTION(DEBUG, "debug", 'd', NULL, FOR(RUN) | FOR(SERVE) | FOR(PROXY), "log more, and tell clients what went wrong")
OPTION(HEADER, "header", 'H', "FIELD", FOR(EXPLAIN), "a field of the request, as in -H 'Host: example.org'; may be repeated")
OPTION(FILE, "file", 'f', "FILE", FOR(EXPLAIN), "ask this config or app instead of the instance that runs")
OPTION(ONCE, "once", 0, NULL, FOR(TOP), "show one screen and end")
OPTION(JSON, "json", 0, NULL,
       FOR(CHECK) | FOR(ROUTES) | FOR(EXPLAIN) | FOR(STATUS) | FOR(GENERATIONS) | FOR(JIT) | FOR(TOP) | FOR(UPSTREAM) | FOR(DOCTOR), "answer in JSON")
OPTION(HELP, "help", 'h', NULL, ~0u, "show this")
#endif

#ifdef EXIT
EXIT(OK, 0, "done, or stopped as asked")
EXIT(CONFIG, 1, "the config has problems (they were printed), or a running instance refused the command")
EXIT(USAGE, 2, "the command line is wrong")
EXIT(LISTEN, 3, "an address cannot be listened on: in use, not permitted, or not of this machine")
EXIT(INSTANCE, 4, "no such instance is running, several are and none was named, or the name is taken")
EXIT(URING, 5, "the engine that was asked for is refused by the kernel or a sandbox: moongate doctor says why, and what to do")
EXIT(WORKER, 6, "a worker cannot start")
EXIT(SYSTEM, 7, "the system refused something else: the runtime folder, a log file, memory, a process")
EXIT(TIMEOUT, 8, "the running instance did not answer in time")
EXIT(SOFTWARE, 70, "an error of Moongate itself: please report what it printed")
#endif
