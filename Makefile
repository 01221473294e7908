# Berth. `make run` runs it, `make check` tests it; both install what they need (scripts/setup).
# Knobs: BUILD= (build folder), SANITIZER=address, CC=, OPT=, V=1, DESTDIR=, PREFIX=, JOBS=

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
CPPFLAGS += -D_GNU_SOURCE -DBERTH_VERSION='"$(VERSION)"' -I. -isystem $(LLHTTP)/include/llhttp -MMD -MP
CFLAGS   += -std=c11 $(OPT) $(WARN) $(SAN) -fstack-protector-strong -fno-strict-aliasing
LDFLAGS  += $(SAN)
LDLIBS   += -lev -lhiredis -lcjson -lwslay -lcurl -lcrypto -lm

Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-6s %s\n' '$(1)' '$(2)')

# ---- sources ---------------------------------------------------------------------------------------------------------
SCRIPTS    := $(shell sed -n 's/^SCRIPT(\(.*\))$$/\1/p' shared/scripts.def)
SHARED_SRC := $(wildcard shared/*.c)
API_SRC    := $(wildcard api/*.c)
WORKER_SRC := $(wildcard worker/*.c worker/driver/*.c)
LLHTTP_OBJ := $(addprefix $(BUILD)/llhttp/,llhttp.o api.o http.o)

objs        = $(patsubst %.c,$(BUILD)/%.o,$(1))
SHARED_OBJ := $(call objs,$(SHARED_SRC)) $(BUILD)/scripts.o $(LLHTTP_OBJ)
API_OBJ    := $(call objs,$(API_SRC)) $(BUILD)/api_assets.o
WORKER_OBJ := $(call objs,$(WORKER_SRC))

.DELETE_ON_ERROR:
.PHONY: all run check unit lua e2e fuzz lint format install clean setup bench

all: $(BUILD)/berth-api $(BUILD)/berth-worker

$(BUILD)/libshared.a: $(SHARED_OBJ)
	$(call say,AR,$@)
	$(Q)rm -f $@ && ar rcs $@ $^

$(BUILD)/berth-api: $(API_OBJ) $(BUILD)/libshared.a
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(BUILD)/berth-worker: $(WORKER_OBJ) $(BUILD)/libshared.a
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(BUILD)/%.o: %.c
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

$(BUILD)/%.o: $(BUILD)/%.c
	$(call say,CC,$<)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

# llhttp ships as C sources (Debian: node-llhttp); it is not ours, so not our warnings.
$(BUILD)/llhttp/%.o: $(LLHTTP)/llhttp/%.c
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(CPPFLAGS) -std=c11 $(OPT) $(SAN) -w -c -o $@ $<

# ---- generated -------------------------------------------------------------------------------------------------------
$(BUILD)/lua/%.lua: lua/%.lua $(wildcard lua/include/*.lua) scripts/lua-assemble
	$(Q)mkdir -p $(@D) && scripts/lua-assemble $< > $@

$(BUILD)/scripts.c: $(SCRIPTS:%=$(BUILD)/lua/%.lua) scripts/embed
	$(call say,EMBED,$@)
	$(Q)scripts/embed scripts $(SCRIPTS:%=$(BUILD)/lua/%.lua) > $@

# Files the API serves: openapi.json and the like, by name.
API_ASSETS := $(sort $(wildcard api/assets/*))
$(BUILD)/api_assets.c: $(API_ASSETS) scripts/embed
	$(call say,EMBED,$@)
	$(Q)mkdir -p $(@D) && scripts/embed api_assets $(API_ASSETS) > $@

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

unit: $(UNIT_BIN)
	@for t in $(UNIT_BIN); do $$t || exit 1; done

# ---- fuzzing ---------------------------------------------------------------------------------------------------------
# test/fuzz/NAME.c is one libFuzzer target (clang); `links:` as above. make fuzz-NAME SECONDS=60
FUZZ_SRC := $(wildcard test/fuzz/*.c)
SECONDS  ?= 60

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
