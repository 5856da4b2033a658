/*
 * COLO's base protocol, periodic, as series v12 has it: a second opinion on the Rust model.
 *
 * Two nodes, a link with a queue in each direction, a guest on each node, a manager, and faults. A machine takes an
 * input in one step and asks for effects. Its environment carries these out one at a time, so that a fault or a command
 * can come between any two. README.md says how to run it, what is compared, and what the prose left open.
 *
 * Choices, by -D:
 *   RELEASE   AT_SUSPEND, AFTER_RECEIVED, AFTER_LOADED
 *   DEFERRAL  NEVER, WHILE_LOADING, FROM_RECEIVED
 *   CHECKPOINTS, OUTPUTS, CRASHES, CUTS, SUSPICIONS   how often each may happen; a suspicion is one of a living peer
 *   STOP_AT   OUTPUT_COMMIT, SINGLE_SERVER, ATOMICITY, UNEXPECTED: an assertion fails there, for a trail to look at
 */

#define AT_SUSPEND     1
#define AFTER_RECEIVED 2
#define AFTER_LOADED   3
#define NEVER          1
#define WHILE_LOADING  2
#define FROM_RECEIVED  3

#ifndef RELEASE
#define RELEASE AFTER_RECEIVED
#endif
#ifndef DEFERRAL
#define DEFERRAL FROM_RECEIVED
#endif
#ifndef CHECKPOINTS
#define CHECKPOINTS 2
#endif
#ifndef OUTPUTS
#define OUTPUTS 1
#endif
#ifndef CRASHES
#define CRASHES 1
#endif
#ifndef CUTS
#define CUTS 0
#endif
#ifndef SUSPICIONS
#define SUSPICIONS 0
#endif

/* The nodes. */
#define P 0
#define S 1

/* Phases of the primary. */
#define WAIT_READY      0
#define RUNNING         1
#define WAIT_REPLY      2
#define SUSPENDING      3
#define SAVING          4
#define SENDING_RAM     5
#define SENDING_DEVICES 6
#define WAIT_RECEIVED   7
#define WAIT_LOADED     8
/* Of the secondary. */
#define INCOMING          10
#define WAIT_REQUEST      11
#define WAIT_SEND         12
#define RECEIVING_RAM     13
#define WAIT_SIZE         14
#define RECEIVING_DEVICES 15
#define WAIT_LOCK         16
#define LOADING           17
/* Of both. */
#define ERROR       20
#define TAKING_OVER 21
#define ALONE       22
#define DEAD        23

/* What travels: the seven messages by their numbers, and the two halves of a state. */
#define READY    0
#define REQUEST  1
#define REPLY    2
#define SEND     3
#define SIZE     4
#define RECEIVED 5
#define LOADED   6
#define RAM      7
#define DEVICES  8

/* Effects. To send a message is an effect of the message's number; what needs the link comes first. */
#define SEND_RAM     10
#define SEND_DEVICES 11
#define needs_link(effect) (effect <= SEND_DEVICES)
#define SUSPEND      12
#define SAVE         13
#define LOCK         14
#define LOAD         15
#define RESUME       16
#define ARM_TIMER    17
#define RELEASE_TO   18
#define CLOSE_LINK   19
#define TAKE_OVER    20
#define BEGIN        21
#define NOTHING      22

/* How far a failover has come: accepted by command, begun by the main loop. */
#define NONE    0
#define REQUIRE 1
#define ACTIVE  2

/* Properties. */
#define OUTPUT_COMMIT 0
#define SINGLE_SERVER 1
#define ATOMICITY     2
#define UNEXPECTED    3

/* The machines: what they know. */
byte phase[2];
byte failover[2];
bool sees_link[2];    /* has not closed it, nor been told that it is gone */
bool executes[2];     /* has asked for its VM to execute */
byte asked = NOTHING; /* the primary's operation that has not ended */
byte begun;           /* checkpoints that the primary has begun */
byte sealed;          /* the end of the output that the latest capture covers */

/* Their environments: what they do. */
chan todo[2] = [10] of { byte /* effect */, byte /* up to which output */ };
chan inbox[2] = [6] of { byte /* kind */, byte /* checkpoint */, byte /* output */ };
bool alive[2];
bool connected[2];
byte in_hand[2];      /* an operation that has begun */
bool running[2];      /* VMs */
byte output[2];       /* the end of the output in a VM's history */
bool timer;
byte captured;        /* the output that the captured state covers */
byte staged;          /* the checkpoint that the secondary has received, and its output */
byte staged_output;
byte loading;         /* the one that a load in hand applies */
byte loading_output;
bool ram_applied;
byte ram;             /* of which checkpoints the secondary's VM is */
byte devices;

/* The world. */
bool link_up;
byte released[2];
byte committed;       /* the end of the output that the secondary has held, or was bound to hold */
bool promoted[2];
bool served[2];
byte outputs, crashes, cuts, suspicions;

/* Steps that the outside can see, counted only if the environment's COLO_VISIBLE bounds them: see README.md. */
#define UNCOUNTED 255
byte visible;
byte most_visible = UNCOUNTED;

/* Of no step's end: */
hidden byte i, e, v, k, c, o;

/*
 * What a run writes, to the file that COLO_OUT names: each new projection of a state, and each property that is
 * broken, with the visible steps that led there.
 */
c_decl {
    int qrecv(int, int, int, int);
    int q_len(int);
    extern int readtrail;
    extern void colo_setup(void);
    extern void colo_state(void);
    extern void colo_broken(int);
};

c_code {
    static FILE *colo_out;
    static int colo_least[4] = { 256, 256, 256, 256 };
    static unsigned long long *colo_table;
    static unsigned long colo_size = 1 << 12, colo_used;

    static const char *colo_phase(int phase) {
        static const char *names[] = {
            "wait-ready", "running", "wait-reply", "suspending", "saving", "sending-ram", "sending-device-state",
            "wait-received", "wait-loaded", "", "incoming", "wait-request", "wait-send", "receiving-ram", "wait-size",
            "receiving-device-state", "wait-lock", "loading", "", "", "error", "taking-over", "alone", "dead" };
        return names[phase];
    }

    static const char *colo_kind(int kind) {
        static const char *names[] = {
            "checkpoint-ready", "checkpoint-request", "checkpoint-reply", "vmstate-send", "vmstate-size",
            "vmstate-received", "vmstate-loaded", "ram", "device-state" };
        return names[kind];
    }

    static const char *colo_operation(int effect) {
        static const char *names[] = {
            "send-ram", "send-device-state", "suspend-vm", "save-state", "lock-vm", "load-state" };
        return effect == NOTHING ? "nothing" : names[effect - SEND_RAM];
    }

    void colo_setup(void) {
        const char *path = getenv("COLO_OUT");
        const char *cap = getenv("COLO_VISIBLE");
        colo_out = path ? fopen(path, "w") : stdout;
        if (!colo_out) { perror(path); exit(1); }
        if (cap) now.most_visible = atoi(cap);
        colo_table = calloc(colo_size, sizeof *colo_table);
    }

    /* A set with open addressing: whether the code is new in it. */
    static int colo_insert(unsigned long long code) {
        unsigned long at = (code * 0x9E3779B97F4A7C15ULL >> 20) & (colo_size - 1);
        while (colo_table[at] && colo_table[at] != code) at = (at + 1) & (colo_size - 1);
        if (colo_table[at] == code) return 0;
        colo_table[at] = code;
        if (2 * ++colo_used > colo_size) {
            unsigned long long *old = colo_table;
            unsigned long n;
            colo_table = calloc(2 * colo_size, sizeof *colo_table);
            colo_size *= 2;
            colo_used = 0;
            for (n = 0; n < colo_size / 2; n++) if (old[n]) colo_insert(old[n]);
            free(old);
        }
        return 1;
    }

    static void colo_print(FILE *to) {
        int n, slot;
        for (n = 0; n < 2; n++)
            fprintf(to, "%s ", colo_phase(now.alive[n] ? now.phase[n] : DEAD));
        for (n = 0; n < 2; n++) {
            fprintf(to, n ? " to-secondary" : "to-primary");
            for (slot = 0; slot < q_len(now.inbox[n]); slot++)
                fprintf(to, " %s", colo_kind(qrecv(now.inbox[n], slot, 0, 0)));
        }
        fprintf(to, " | in-hand %s %s connected %d %d", colo_operation(now.in_hand[P]),
            colo_operation(now.in_hand[S]), now.connected[P], now.connected[S]);
        fprintf(to, " running %d %d promoted %d %d released %d %d ram %d devices %d\n", now.running[P],
            now.running[S], now.promoted[P], now.promoted[S], now.released[P], now.released[S], now.ram, now.devices);
    }

    /*
     * The projection: both phases, and the kinds of what is in both queues, oldest first; then what a witness from
     * outside could tell of the VMs and the world.
     */
    void colo_state(void) {
        unsigned long long code = 1;
        int n, slot;
        if (readtrail) colo_print(stdout);
        if (now.most_visible < UNCOUNTED) return;
        for (n = 0; n < 2; n++) {
            code = code * 32 + (now.alive[n] ? now.phase[n] : DEAD);
            code = code * 8 + now.running[n] * 4 + now.promoted[n] * 2 + now.connected[n];
            code = code * 16 + now.in_hand[n] - SEND_RAM;
            code = code * 8 + now.released[n];
        }
        code = code * 8 + now.ram;
        code = code * 8 + now.devices;
        for (n = 0; n < 2; n++) {
            for (slot = 0; slot < q_len(now.inbox[n]); slot++)
                code = code * 10 + qrecv(now.inbox[n], slot, 0, 0);
            code = code * 10 + 9;
        }
        if (q_len(now.inbox[P]) + q_len(now.inbox[S]) > 5) {
            fprintf(stderr, "more on the link than a code can hold\n");
            exit(1);
        }
        if (colo_insert(code)) {
            fprintf(colo_out, "state ");
            colo_print(colo_out);
        }
    }

    void colo_broken(int property) {
        static const char *names[] = {
            "output commit", "single server", "checkpoint atomicity", "no error without a fault" };
        if (now.visible >= colo_least[property]) return;
        colo_least[property] = now.visible;
        fprintf(colo_out, "broken %d %s\n", now.visible, names[property]);
    }
};

/* A step begins so, behind it come its condition and what it does, and a brace ends it. */
#define step d_step { visible <= most_visible &&

/* The outside can see what this step does. */
inline is_seen() {
    if
    :: most_visible < UNCOUNTED -> visible++
    :: else
    fi
}

/* A property is broken. */
#ifdef STOP_AT
#define stop_at(property) assert(property != STOP_AT)
#else
#define stop_at(property) skip
#endif
#define breaks(property) c_code { colo_broken(property); }; stop_at(property)

/* What must hold of a state, at the end of each step. */
inline done() {
    i = 0; e = 0; v = 0; k = 0; c = 0; o = 0;
    if
    :: running[S] && ram != devices -> breaks(ATOMICITY)
    :: else
    fi;
    c_code { colo_state(); }
}

/* ---- The queue of effects. */

inline ask(n, effect) { todo[n]!effect, 0 }

/* The effect comes before all that waits. */
inline overtake(n, effect) {
    i = len(todo[n]);
    todo[n]!effect, 0;
    do
    :: i > 0 -> todo[n]?e, v; todo[n]!e, v; i--
    :: else -> break
    od
}

inline drop_link_effects(n) {
    i = len(todo[n]);
    do
    :: i > 0 ->
        todo[n]?e, v;
        if
        :: needs_link(e)
        :: else -> todo[n]!e, v
        fi;
        i--
    :: else -> break
    od
}

/* A machine closes the link, unless it knows that it is gone. */
inline close_link(n) {
    if
    :: sees_link[n] -> sees_link[n] = false; drop_link_effects(n); overtake(n, CLOSE_LINK)
    :: else
    fi
}

/* ---- The link. */

inline put(n, kind, checkpoint, covers) {
    if
    :: link_up && connected[n] && connected[1 - n] -> inbox[1 - n]!kind, checkpoint, covers; is_seen()
    :: else
    fi
}

inline empty_inbox(n) {
    do
    :: len(inbox[n]) > 0 -> inbox[n]?k, c, o
    :: else -> break
    od
}

/* A node's end is gone, and what it was sending. */
inline disconnect(n) {
    connected[n] = false;
    empty_inbox(n);
    if
    :: in_hand[n] == SEND_RAM || in_hand[n] == SEND_DEVICES -> in_hand[n] = NOTHING
    :: else
    fi
}

/* ---- What the world sees. */

/* Output leaves. Who lets leave what the secondary does not hold, nor is bound to, serves on its own. */
inline release(n, up_to) {
    if
    :: up_to > released[n] ->
        is_seen();
        released[n] = up_to;
        if
        :: up_to > committed -> served[n] = true
        :: else
        fi;
        if
        :: served[P] && served[S] -> breaks(SINGLE_SERVER)
        :: else
        fi
    :: else
    fi
}

/* A promotion: all that the peer has released, the node's VM must have in its history. */
inline promote(n) {
    is_seen();
    if
    :: !promoted[1 - n] && released[1 - n] > output[n] -> breaks(OUTPUT_COMMIT)
    :: else
    fi;
    promoted[n] = true
}

/* ---- A failover, as far as it is the same on both nodes. */

/* What a machine asks for when it goes on alone. */
inline go_on_alone(n) {
    phase[n] = ALONE;
    ask(n, TAKE_OVER);
    todo[n]!RELEASE_TO, output[n];
    if
    :: !executes[n] -> executes[n] = true; ask(n, RESUME)
    :: else
    fi
}

/* ---- The primary. */

inline primary_begins_failover() {
    failover[P] = ACTIVE;
    close_link(P);
    if
    :: asked == SEND_RAM || asked == SEND_DEVICES -> asked = NOTHING
    :: else
    fi;
    if
    :: asked != NOTHING -> phase[P] = TAKING_OVER
    :: else -> go_on_alone(P)
    fi
}

inline primary_asks(operation) { asked = operation; ask(P, operation) }

inline primary_resumes() {
    phase[P] = RUNNING;
    executes[P] = true;
    ask(P, RESUME);
    ask(P, ARM_TIMER)
}

inline primary_releases(at) {
    if
    :: RELEASE == at -> todo[P]!RELEASE_TO, sealed
    :: else
    fi
}

inline primary_is_told(message) {
    if
    :: phase[P] == WAIT_READY && message == READY -> primary_resumes()
    :: phase[P] == WAIT_REPLY && message == REPLY ->
        phase[P] = SUSPENDING;
        executes[P] = false;
        primary_asks(SUSPEND)
    :: phase[P] == WAIT_RECEIVED && message == RECEIVED ->
        phase[P] = WAIT_LOADED;
        primary_releases(AFTER_RECEIVED)
    :: phase[P] == WAIT_LOADED && message == LOADED ->
        primary_releases(AFTER_LOADED);
        primary_resumes()
    :: phase[P] >= ERROR
    :: else -> breaks(UNEXPECTED)
    fi
}

/* The VM stands still: from here on its output belongs to the next checkpoint. */
inline primary_is_suspended() {
    asked = NOTHING;
    if
    :: phase[P] == SUSPENDING ->
        phase[P] = SAVING;
        sealed = output[P];
        primary_releases(AT_SUSPEND);
        primary_asks(SAVE)
    :: phase[P] == TAKING_OVER -> go_on_alone(P)
    :: else
    fi
}

inline primary_has_saved() {
    asked = NOTHING;
    if
    :: phase[P] == SAVING ->
        phase[P] = SENDING_RAM;
        ask(P, SEND);
        primary_asks(SEND_RAM)
    :: phase[P] == TAKING_OVER -> go_on_alone(P)
    :: else
    fi
}

inline primary_has_sent() {
    if
    :: phase[P] == SENDING_RAM ->
        phase[P] = SENDING_DEVICES;
        ask(P, SIZE);
        primary_asks(SEND_DEVICES)
    :: phase[P] == SENDING_DEVICES -> phase[P] = WAIT_RECEIVED; asked = NOTHING
    :: else
    fi
}

active proctype Primary() {
end:
    do
    /* The oldest effect that waits is carried out; of an operation, its beginning. */
    :: step alive[P] && len(todo[P]) > 0 ->
        todo[P]?k, c;
        if
        :: k <= LOADED -> put(P, k, 0, 0)
        :: k == SUSPEND || k == SAVE || k == SEND_RAM || k == SEND_DEVICES ->
            assert(in_hand[P] == NOTHING);
            in_hand[P] = k
        :: k == RESUME -> running[P] = true
        :: k == ARM_TIMER -> timer = true
        :: k == RELEASE_TO -> release(P, c)
        :: k == CLOSE_LINK -> disconnect(P); link_up = false
        :: k == TAKE_OVER -> promote(P)
        :: k == BEGIN -> primary_begins_failover()
        fi;
        done() }
    /* The operation in hand ends. */
    :: step in_hand[P] == SUSPEND ->
        in_hand[P] = NOTHING;
        running[P] = false;
        primary_is_suspended();
        done() }
    :: step in_hand[P] == SAVE ->
        in_hand[P] = NOTHING;
        captured = output[P];
        primary_has_saved();
        done() }
    :: step in_hand[P] == SEND_RAM && link_up ->
        in_hand[P] = NOTHING;
        put(P, RAM, begun, captured);
        primary_has_sent();
        done() }
    :: step in_hand[P] == SEND_DEVICES && link_up ->
        in_hand[P] = NOTHING;
        put(P, DEVICES, begun, captured);
        primary_has_sent();
        done() }
    /* What is first on the link arrives. */
    :: step len(inbox[P]) > 0 ->
        inbox[P]?k, c, o;
        is_seen();
        primary_is_told(k);
        done() }
    /* It learns that the link is gone. */
    :: step connected[P] && !link_up ->
        disconnect(P);
        drop_link_effects(P);
        sees_link[P] = false;
        if
        :: asked == SEND_RAM || asked == SEND_DEVICES -> asked = NOTHING
        :: else
        fi;
        if
        :: phase[P] < ERROR -> phase[P] = ERROR
        :: else
        fi;
        done() }
    /* The timer runs out. */
    :: step timer && begun < CHECKPOINTS ->
        timer = false;
        if
        :: phase[P] == RUNNING -> begun++; phase[P] = WAIT_REPLY; ask(P, REQUEST)
        :: else
        fi;
        done() }
    od
}

/* ---- The secondary. */

inline secondary_begins_failover() {
    failover[S] = ACTIVE;
    close_link(S);
    if
    :: phase[S] == WAIT_LOCK && DEFERRAL == FROM_RECEIVED -> phase[S] = TAKING_OVER
    :: phase[S] == LOADING && DEFERRAL != NEVER -> phase[S] = TAKING_OVER
    :: else -> go_on_alone(S)
    fi
}

/* What it may not go back behind from now on; for the checkpoint it is bound to hold its output. */
inline secondary_promises(covers) {
    if
    :: covers > committed -> committed = covers
    :: else
    fi
}

inline secondary_is_told(kind) {
    if
    :: phase[S] == WAIT_REQUEST && kind == REQUEST -> phase[S] = WAIT_SEND; ask(S, REPLY)
    :: phase[S] == WAIT_SEND && kind == SEND -> phase[S] = RECEIVING_RAM
    :: phase[S] == RECEIVING_RAM && kind == RAM -> phase[S] = WAIT_SIZE
    :: phase[S] == WAIT_SIZE && kind == SIZE -> phase[S] = RECEIVING_DEVICES
    :: phase[S] == RECEIVING_DEVICES && kind == DEVICES ->
        phase[S] = WAIT_LOCK;
        staged = c;
        staged_output = o;
        ask(S, RECEIVED);
        ask(S, LOCK);
        if
        :: RELEASE != AFTER_LOADED -> secondary_promises(staged_output)
        :: else
        fi
    :: phase[S] == INCOMING || phase[S] == WAIT_LOCK || phase[S] == LOADING || phase[S] >= ERROR
    :: else -> breaks(UNEXPECTED)
    fi
}

inline secondary_has_lock() {
    if
    :: phase[S] == WAIT_LOCK -> phase[S] = LOADING; ask(S, LOAD)
    :: phase[S] == TAKING_OVER -> ask(S, LOAD)
    :: else
    fi
}

/* It confirms, if there is somebody to confirm to. */
inline secondary_has_loaded() {
    if
    :: (phase[S] == INCOMING || phase[S] == LOADING) && !sees_link[S] -> phase[S] = ERROR
    :: phase[S] == INCOMING && sees_link[S] -> phase[S] = WAIT_REQUEST; ask(S, READY)
    :: phase[S] == LOADING && sees_link[S] -> phase[S] = WAIT_REQUEST; ask(S, LOADED)
    :: phase[S] == TAKING_OVER -> go_on_alone(S)
    :: else
    fi
}

active proctype Secondary() {
end:
    do
    :: step alive[S] && len(todo[S]) > 0 ->
        todo[S]?k, c;
        if
        :: k <= LOADED -> put(S, k, 0, 0)
        :: k == LOCK -> in_hand[S] = LOCK
        :: k == LOAD ->
            in_hand[S] = LOAD;
            loading = staged;
            loading_output = staged_output;
            staged = 0;
            staged_output = 0
        :: k == RESUME -> running[S] = true
        :: k == RELEASE_TO -> release(S, c)
        :: k == CLOSE_LINK -> disconnect(S); link_up = false
        :: k == TAKE_OVER -> promote(S)
        :: k == BEGIN -> secondary_begins_failover()
        fi;
        done() }
    :: step in_hand[S] == LOCK ->
        in_hand[S] = NOTHING;
        secondary_has_lock();
        done() }
    /* A load applies the RAM, then the rest. */
    :: step in_hand[S] == LOAD && !ram_applied ->
        ram_applied = true;
        ram = loading;
        done() }
    :: step in_hand[S] == LOAD && ram_applied ->
        in_hand[S] = NOTHING;
        ram_applied = false;
        devices = loading;
        output[S] = loading_output;
        loading = 0;
        loading_output = 0;
        secondary_promises(output[S]);
        secondary_has_loaded();
        done() }
    :: step len(inbox[S]) > 0 ->
        inbox[S]?k, c, o;
        is_seen();
        secondary_is_told(k);
        done() }
    /* What is whole is loaded first, all else is thrown away. */
    :: step connected[S] && !link_up ->
        disconnect(S);
        drop_link_effects(S);
        sees_link[S] = false;
        if
        :: phase[S] >= WAIT_REQUEST && phase[S] <= RECEIVING_DEVICES -> phase[S] = ERROR
        :: else
        fi;
        done() }
    od
}

/* ---- Around them. */

/* A guest that executes sends. Its machine lets that leave at once when it is alone. */
inline produce(n) {
    outputs++;
    output[n]++;
    if
    :: phase[n] == ALONE -> todo[n]!RELEASE_TO, output[n]
    :: else
    fi
}

active proctype Guests() {
end:
    do
    :: step running[P] && outputs < OUTPUTS -> produce(P); done() }
    :: step running[S] && outputs < OUTPUTS -> produce(S); done() }
    od
}

/* x-colo-lost-heartbeat, to a node whose peer is dead, or is wrongly taken for it. A second command is refused. */
inline suspect(n) {
    if
    :: alive[1 - n] -> suspicions++; is_seen()
    :: else
    fi;
    failover[n] = REQUIRE;
    overtake(n, BEGIN)
}

#define may_suspect(n) (alive[n] && failover[n] == NONE && (!alive[1 - n] || suspicions < SUSPICIONS))

/* A node dies, and the link with it. What it had sent still arrives. */
inline die(n) {
    is_seen();
    link_up = false;
    disconnect(n);
    do
    :: len(todo[n]) > 0 -> todo[n]?k, c
    :: else -> break
    od;
    alive[n] = false;
    in_hand[n] = NOTHING;
    running[n] = false;
    executes[n] = false;
    sees_link[n] = false;
    failover[n] = NONE;
    phase[n] = DEAD;
    output[n] = 0;
    if
    :: n == P -> timer = false; asked = NOTHING; begun = 0; sealed = 0; captured = 0
    :: else ->
        staged = 0; staged_output = 0;
        loading = 0; loading_output = 0; ram_applied = false;
        ram = 0; devices = 0
    fi
}

#define may_fence (alive[P] && alive[S] && !link_up && !promoted[P] && !promoted[S])

active proctype Manager() {
end:
    do
    :: step may_suspect(P) -> suspect(P); done() }
    :: step may_suspect(S) && phase[S] != INCOMING -> suspect(S); done() }
    /* Of two nodes that live and have lost each other it fences one, before it promotes the other. */
    :: step may_fence -> die(P); done() }
    :: step may_fence -> die(S); done() }
    od
}

active proctype Faults() {
end:
    do
    :: step alive[P] && crashes < CRASHES -> crashes++; die(P); done() }
    :: step alive[S] && crashes < CRASHES -> crashes++; die(S); done() }
    /* A cut loses what was on the link, and both ends can see it. */
    :: step link_up && cuts < CUTS ->
        cuts++;
        is_seen();
        link_up = false;
        empty_inbox(P);
        empty_inbox(S);
        done() }
    od
}

/* The initial state is on its way into the secondary's VM; only its end is to come. */
init {
    d_step {
        phase[P] = WAIT_READY;
        phase[S] = INCOMING;
        sees_link[P] = true; sees_link[S] = true;
        connected[P] = true; connected[S] = true;
        in_hand[P] = NOTHING;
        in_hand[S] = LOAD;
        ram_applied = true;
        alive[P] = true; alive[S] = true;
        link_up = true;
        c_code { colo_setup(); };
        done()
    }
}
