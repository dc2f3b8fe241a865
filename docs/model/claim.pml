/*
 * Claim, seal, reclaim: fencepost's protocol on the share and its way out to the
 * cluster, for Spin. README.md beside this file says what is modelled, what is
 * merged and why that is sound, and what each switch is.
 * Words: docs/architecture.md.
 *
 * One step of a process is one operation at the server, with what its caller
 * makes of the answer. A process that is paused is one that isn't scheduled.
 */

/* ---- bounds ------------------------------------------------------------------ */

#ifndef HOSTS
#define HOSTS 3
#endif
#ifndef FAULTS
#define FAULTS 3
#endif
#ifndef REQUESTS
#define REQUESTS 2 /* so many hosts get the client's request: it asks again elsewhere */
#endif
#define EPOCHS 6

/* Parts of a job's life, one or more; without any: all three. */
#if !defined(ACCEPTING) && !defined(TRANSLATING) && !defined(SUBMITTING)
#define ACCEPTING
#define TRANSLATING
#define SUBMITTING
#endif

#if defined(TRANSLATING) || defined(SUBMITTING)
#define CLAIMING
#endif

/* What some configurations need to remember. */
#if defined(SWEEP) || defined(CANCEL_ON_ABSENCE) || defined(LOSER_CANCELS) || defined(RELEASE_BY_NAME) || \
	defined(RELEASE_BEFORE_SEAL)
#define GHOSTS /* the cluster's held jobs that were never sealed */
#endif
#if defined(GHOSTS) || defined(NAME_REUSED) || defined(GAP)
#define GENS   /* generations */
#endif

/* ---- faults: each takes one of the budget --------------------------------------- */

#define OVER 1     /* an epoch is over: its process is dead, paused, or well */
#define LOST 2     /* an operation is done, and answered ENOENT or EEXIST */
#define WRONG 4    /* an operation isn't done, and answered ESTALE */
#define STALE 8    /* a listing shows what was */
#define STUCK 16   /* a claim of a living instance is taken for stuck, and put back */
#define UNKNOWN 32 /* the cluster took a submission, and its answer is lost */
#ifndef KINDS
#define KINDS 63
#endif
byte faults = FAULTS;
#define Can(kind) ((KINDS & kind) && faults > 0)

/* ---- the share ------------------------------------------------------------------ */

/* Of each epoch: which of its directories are there, and what else is known. */
#define CLAIMS 1
#define SEALED 2
#define DRAFTS 4
#define DIRS 7
#define MAKING 8  /* its process is about to make directories */
#define ISOVER 16
/* Without BIRTH, an epoch counts from its directories on. */
#if defined(BIRTH) || defined(DRAFTS_FIRST) || defined(NOT_SEEN)
#define BEGIN MAKING
#else
#define BEGIN DIRS
#endif
#define MOVED 32  /* FENCE_BY_MOVE: its claim directory has another name */
byte epoch[EPOCHS];
byte top;         /* the next number */
#define Has(i, what) ((epoch[i] & (what)) != 0)
#define Over(i) Has(i, ISOVER)

/* Of each epoch: its drafts. */
#define NEW 1     /* new~1~J.xml: never counts */
#define ACCEPT 2  /* accept~1~J.xml: complete by its name */
#define OUTPUT 4  /* translate~1~J.json, of its first claim; * 2: of its second */
byte drafts[EPOCHS];
#define Draft(i, what) ((drafts[i] & (what)) != 0)
#define Output(n) (OUTPUT << (n - 1))

/* The job's files: what translate takes, what submit takes, and a second one of
 * that kind, by an operator's cp. */
#define XML 0
#define JSON 1
#define COPY 2
#define NOWHERE 0
#define WAITS 1   /* in its stage's directory */
#define CLAIMED 2
#define DECIDED 3 /* in sealed/ */
#define ENDED 4   /* the XML: retired; the others: in done/ */
#define PARKED 5
byte place[3];
byte owner[3];    /* CLAIMED, DECIDED: its epoch ... */
byte number[3];   /* ... and number: its token */
#ifdef GENS
byte gen[3];      /* its generation; without: every name is used once */
#endif
#define At(f, p, i) (place[f] == p && owner[f] == i)
#define Token(f, p, i, n) (At(f, p, i) && number[f] == n)
#define Some(p, i) (At(XML, p, i) || At(JSON, p, i) || At(COPY, p, i))

byte gate;        /* whose draft has gate/J: its epoch + 1 */

#ifdef SUBMITTING
byte once;        /* which file has once/J */
#define NONE 0
#define HELD 1
#define RUNS 2
#define CANCELLED 3
#ifdef GHOSTS
#define JOBS 12   /* one for each token; the generation in its comment */
#define Id(f, i, n) (i * 2 + n - 1)
byte ofgen[JOBS];
#else
#define JOBS 3    /* one for each file, made by its seal: nobody acts on another */
#define Id(f, i, n) f
#endif
byte job[JOBS];   /* the cluster's */
byte id[3];       /* the cluster's id in the name of a file, + 1 */
byte released;    /* how many jobs ever were */
#define Named(c) (id[JSON] == c + 1 || id[COPY] == c + 1)
#endif

/* ---- operations ------------------------------------------------------------------ */

/* Its process is gone; the next one of the host starts. */
#define Forget f = 0; g = 0; n = 0; c = 0; o = 0; seen = 0; did = 0; twice = 0; made = 0; noClaims = 0
#define Die epoch[e] = epoch[e] & ~MAKING; Forget; n = 0; e = 0; goto start
/* A process whose epoch is over may be dead, from any operation on. */
#define Dies Over(e) -> Die
#define Idle Forget; goto end_idle

/* A fresh listing. was: the name was there at some time. */
#define Look(fact, was) \
	if \
	:: seen = (fact) \
	:: (fact) && Can(STALE) -> faults--; seen = 0 \
	:: !(fact) && (was) && Can(STALE) -> faults--; seen = 1 \
	fi

/* moveToToken of spool/op.go. can: the source is there, and the directory of the
 * target. If not, all the looks that follow say so: merged. */
#define MoveTo(can, effect, there, source, done, gone) \
	do \
	:: atomic { \
		if \
		:: (can) -> effect; done \
		:: (can) && Can(LOST) -> faults--; effect; did = 1 \
		:: (can) && Can(WRONG) -> faults-- \
		:: !(can) -> gone \
		:: Dies \
		fi }; \
	   LookTo(there, source, done, gone) \
	od

#ifdef ENOENT_LOST
#define LookTo(there, source, done, gone) atomic { did = 0; gone }
#else
#define LookTo(there, source, done, gone) \
	atomic { Look(there, did); \
		if \
		:: Dies \
		:: seen -> seen = 0; did = 0; done \
		:: !seen \
		fi }; \
	atomic { Look(source, 1); \
		if \
		:: Dies \
		:: seen -> seen = 0 \
		:: !seen -> did = 0; gone \
		fi }
#endif

/* After moveFromToken and rmdirEmpty of spool/op.go were told that a source, or
 * a directory, is absent: gone twice, with a look after each, is gone. */
#ifdef ASK_ONCE
#define Enough 1
#else
#define Enough twice
#endif
#ifdef ENOENT_DONE
#define LookFrom(source, again, gone) atomic { twice = 0; gone }
#else
#define LookFrom(source, again, gone) \
	atomic { Look(source, 1); \
		if \
		:: Dies \
		:: seen -> seen = 0; twice = 0; again \
		:: !seen && Enough -> twice = 0; gone \
		:: !seen && !Enough -> twice = 1; again \
		fi }
#endif

/* ---- what becomes of the job, and what must hold then -------------------------------- */

/* A number of this instance that no name has. */
#ifdef TRANSLATING
#define NoDraft(n) !Draft(e, Output(n))
#else
#define NoDraft(n) 1
#endif
#ifdef GHOSTS
#define NoJob(n) job[Id(0, e, n)] == NONE
#else
#define NoJob(n) 1
#endif
#ifdef EPOCH_ADOPTED
#define Fresh (mine + 1) /* each process counts for itself */
#define Count mine++
#else
#define Count skip
#define Fresh (NoDraft(1) && NoJob(1) -> 1 : (NoDraft(2) && NoJob(2) -> 2 : 3))
#endif

inline toXML(i) {
	assert(place[XML] == NOWHERE); /* it comes in once */
	place[XML] = WAITS;
	drafts[i] = drafts[i] & ~ACCEPT
}

inline toJSON(i, n) {
	assert(place[JSON] == NOWHERE); /* never in two places */
	place[JSON] = WAITS;
	drafts[i] = drafts[i] & ~Output(n)
}

inline unaccept(i) {
	assert(!Draft(i, ACCEPT) || gate != i + 1); /* never lost */
	drafts[i] = drafts[i] & ~ACCEPT
}

inline toEnd(f, p) {
	place[f] = p; owner[f] = 0; number[f] = 0
}

inline retire() {
	assert(place[JSON] != NOWHERE); /* never lost */
	toEnd(XML, ENDED)
}

inline toClaim(f, g) {
#ifdef GENS
	assert(gen[f] == g); /* what is taken is what was seen */
#endif
	n = Fresh; Count;
	place[f] = CLAIMED; owner[f] = e; number[f] = n
}

inline toStage(f) {
	toEnd(f, WAITS);
#ifdef GENS
	gen[f]++
#endif
}

#if !defined(GENS) || defined(NAME_REUSED)
#define SameName(f, g) 1
#else
#define SameName(f, g) (gen[f] == g)
#endif

#ifdef FENCE_BY_MOVE
#define ClaimsOf(i) Has(i, CLAIMS | MOVED) /* a client's handle follows it */
#else
#define ClaimsOf(i) Has(i, CLAIMS)
#endif

#ifdef SUBMITTING
inline toSealed(f, c) {
	assert(job[c] != CANCELLED); /* what may yet be sealed is not cancelled */
	place[f] = DECIDED; id[f] = c + 1;
#ifndef GHOSTS
	job[c] = HELD
#endif
}

inline release(c) {
	if
	:: job[c] == HELD -> job[c] = RUNS; released++
	:: else
	fi;
	assert(released <= 1) /* never twice */
}

inline cancel(c) {
	assert(!Named(c)); /* nor is what was sealed */
	job[c] = CANCELLED
}

/* provenDead of submit/ghosts.go: the token of a held job can't be sealed. */
#define Beyond(f, c) (place[f] >= DECIDED && id[f] != 0 && gen[f] >= ofgen[c] || \
	gen[f] > ofgen[c] && once == f)
#define Dead(c) (job[c] == HELD && !Named(c) && \
	(Beyond(JSON, c) || Beyond(COPY, c) || !Has(c / 2, DIRS)))
#endif

/* ---- a host ---------------------------------------------------------------------------- */

/* Choose a file that fits. */
#define Any(fits) (fits(XML) || fits(JSON) || fits(COPY))
#define Choose(fits) \
	if \
	:: fits(XML) -> f = XML \
	:: fits(JSON) -> f = JSON \
	:: fits(COPY) -> f = COPY \
	fi
#ifdef TRANSLATING
#define IsXML(f) f == XML
#else
#define IsXML(f) 0
#endif
#ifdef SUBMITTING
#define IsJSON(f) f != XML
#else
#define IsJSON(f) 0
#endif
#define Wanted(f) (place[f] == WAITS && (IsXML(f) || IsJSON(f)) && !Spent(f))
#ifdef GENS
#define SeeGen g = gen[f]
#define Spent(f) (gen[f] >= 4) /* the limit of generations: parked */
#else
#define Spent(f) 0
#define SeeGen
#endif
#define Strayed(f) At(f, CLAIMED, e)
#define Others(f) (place[f] == CLAIMED && owner[f] != e && Has(owner[f], CLAIMS))
#define OfTheOver(f) (Others(f) && Over(owner[f]))
#define Sealed(f) (f != XML && place[f] == DECIDED)

/* The work on a claim. The draft of an instance that isn't over concerns nobody
 * else: to write it is no step. */
#define Draw drafts[e] = drafts[e] | Output(n)
#ifdef TRANSLATING
#define Translate \
	:: f == XML && !Over(e) && !Draft(e, Output(n)) -> Draw; goto seal \
	:: f == XML && (Over(e) || Draft(e, Output(n))) -> goto translate
#else
#define Translate
#endif
#ifdef SUBMITTING
#define Submit :: f != XML -> goto exitGate
#ifdef GHOSTS
#define Submitted job[c] = HELD; ofgen[c] = g; g = 0
#else
#define Submitted skip
#endif
#else
#define Submit
#endif
#define Start if Translate Submit fi

/* Roll an accept draft forward, one step of it: linkOnce, where the file that has
 * the gate decides, not the answer; then its rename, or its removal. */
#ifdef NO_GATE
#define Roll(i) toXML(i)
#else
#define Roll(i) \
	if \
	:: gate == 0 -> gate = i + 1 \
	:: gate == i + 1 -> toXML(i) \
	:: gate != 0 && gate != i + 1 -> unaccept(i) \
	fi
#endif

/* Publish of spool/sealed.go, one step of it: the draft, then what was sealed. */
#define Publish(i) \
	if \
	:: Draft(i, Output(number[XML])) -> toJSON(i, number[XML]) \
	:: !Draft(i, Output(number[XML])) -> retire() \
	fi

/* Reclaim of spool/reclaim.go, of an epoch that is over, by its steps. What a
 * pass remembers of its earlier steps is so, and stays so; where it may not be,
 * the pass itself is in the model (o, made, noClaims). */
#ifdef DROP_EARLY
#define MayDrop(i) 1
#else
#define MayDrop(i) !Has(i, CLAIMS | SEALED | MAKING)
#endif
#ifdef FENCE_BY_MOVE
#define Fence(i) epoch[i] = epoch[i] & ~CLAIMS | MOVED
#else
#define Fence(i) epoch[i] = epoch[i] & ~CLAIMS
#endif
#ifdef NOT_SEEN
#define Seen(i) 1
#else
#define Seen(i) Has(i, DRAFTS) || !Has(i, MAKING)
#endif
#define Old(i) Over(i) && i != e
#ifdef ACCEPTING
#define AcceptDrafts(i) \
	:: atomic { Old(i) && Draft(i, NEW) -> drafts[i] = drafts[i] & ~NEW } \
	:: atomic { Old(i) && Draft(i, ACCEPT) && !Dropping -> Roll(i) }
#else
#define AcceptDrafts(i)
#endif
#ifdef TRANSLATING
#define Outputs(i) \
	:: atomic { Old(i) && Draft(i, OUTPUT) && MayDrop(i) -> drafts[i] = drafts[i] & ~OUTPUT } \
	:: atomic { Old(i) && Draft(i, OUTPUT * 2) && MayDrop(i) -> drafts[i] = drafts[i] & ~(OUTPUT * 2) }
#else
#define Outputs(i)
#endif
#define Reclaim(i) \
	:: atomic { Old(i) && Has(i, MAKING) -> o = i; made = Seen(i); goto claimsOf } \
	:: atomic { Old(i) && Has(i, CLAIMS) && !Some(CLAIMED, i) -> Fence(i) } \
	:: atomic { Old(i) && Has(i, CLAIMS) && Can(WRONG) -> faults--; o = i; made = Seen(i); goto claimsAsk } \
	:: atomic { Old(i) && Has(i, SEALED) && !Some(DECIDED, i) -> epoch[i] = epoch[i] & ~SEALED } \
	:: atomic { Old(i) && Has(i, SEALED) && Can(WRONG) -> faults--; o = i; made = Seen(i); noClaims = !Has(i, CLAIMS); goto sealedAsk } \
	AcceptDrafts(i) Outputs(i) \
	:: atomic { Old(i) && Has(i, DRAFTS) && !Has(i, CLAIMS | SEALED | MAKING) && drafts[i] == 0 -> epoch[i] = epoch[i] & ~DRAFTS }
#ifdef ACCEPT_DROPPED
#define Dropping 1
#define DropAccept(i) :: atomic { Old(i) && Draft(i, ACCEPT) && gate != i + 1 -> o = i; goto drop }
#else
#define Dropping 0
#endif

proctype Host(byte h; byte e) {
	/* e is its epoch */
	byte f;      /* the file at hand, */
	byte n;      /* under this number, */
	byte g;      /* of this generation */
	byte c;      /* the cluster's job at hand */
#ifdef EPOCH_ADOPTED
	byte mine;
#endif
	bit asked;                /* it got the client's request */
	bit seen, did, twice;     /* by looks; an operation was done; gone once */
	byte o;                   /* the epoch that it reclaims, */
	bit made, noClaims;       /* and what it knows of it */

#ifndef EPOCH_ADOPTED
	if
	:: Has(e, MAKING) -> goto making
	:: else -> goto end_idle
	fi;
#endif

	/* newEpoch of lease/epoch.go: the next number, decided by an exclusive mkdir,
	 * then its directories. Whether it will be over is decided here. */
start:
#ifdef EPOCH_ADOPTED
	atomic { e = top }; /* a listing */
	atomic {
		if
		:: top == e -> top++; epoch[e] = DIRS
		:: top > e /* "that was my own mkdir, its reply was lost" */
		fi; goto end_idle };
#endif
	atomic {
		e = top; top++;
		if
		:: epoch[e] = DIRS; goto end_idle
		:: Can(OVER) -> faults--; epoch[e] = ISOVER | BEGIN; if :: Has(e, MAKING) :: else -> goto end_idle fi
		fi };
making:
#define Mkdir(what, then) \
	atomic { \
		if \
		:: Dies \
		:: epoch[e] = epoch[e] | what; then \
		fi }
#ifdef DRAFTS_FIRST
	Mkdir(DRAFTS, skip); Mkdir(CLAIMS, skip); Mkdir(SEALED, epoch[e] = epoch[e] & ~MAKING);
#else
	Mkdir(CLAIMS, skip); Mkdir(SEALED, skip); Mkdir(DRAFTS, epoch[e] = epoch[e] & ~MAKING);
#endif

end_idle:
	do
	:: atomic { Over(e) -> Die }

#ifdef CLAIMING
	/* Claim of spool/claim.go: a listing of the stage's directory, a rename */
#if defined(NAME_REUSED) || defined(GAP)
	:: atomic { Fresh <= 2 && ClaimsOf(e) && Any(Wanted) -> Choose(Wanted); SeeGen; goto claim }
#else
	:: atomic { Fresh <= 2 && ClaimsOf(e) && Any(Wanted) ->
		Choose(Wanted); SeeGen;
		if
		:: toClaim(f, g); Start
		:: Can(LOST) -> faults--; toClaim(f, g); did = 1; goto claimLost
		fi }
#endif

#endif
	/* Sweep of spool/reclaim.go: a claim that no task of this instance owns */
	:: atomic { Any(Strayed) -> Choose(Strayed); toStage(f); f = 0 }
	/* Reclaim: of an epoch that is over; or taken for stuck, though its owner lives */
	:: atomic { Any(OfTheOver) -> Choose(OfTheOver); toStage(f); f = 0 }
	:: atomic { Can(STUCK) && Any(Others) -> Choose(Others); faults--; toStage(f); f = 0 }
	Reclaim(0) Reclaim(1) Reclaim(2) Reclaim(3) Reclaim(4) Reclaim(5)
#ifdef ACCEPT_DROPPED
	DropAccept(0) DropAccept(1) DropAccept(2) DropAccept(3) DropAccept(4) DropAccept(5)
#endif
#ifdef ACCEPTING
	/* Accept of spool/accept.go, and the own sweep's part in it */
	:: atomic { h < REQUESTS && !asked && Has(e, DRAFTS) ->
		asked = 1; drafts[e] = drafts[e] | NEW; goto complete }
	:: atomic { Draft(e, NEW) -> drafts[e] = drafts[e] & ~NEW }
	:: atomic { Draft(e, ACCEPT) -> Roll(e) }
#ifdef GATE_BY_ERROR
	:: atomic { Draft(e, ACCEPT) && gate == 0 && Can(LOST) -> faults--; gate = e + 1; unaccept(e) }
#endif
#endif
#ifdef TRANSLATING
	/* what is sealed, by its owner or for one that is over */
	:: atomic { place[XML] == DECIDED && (owner[XML] == e || Over(owner[XML])) -> Publish(owner[XML]) }
	:: atomic { place[XML] == DECIDED && (owner[XML] == e || Over(owner[XML])) &&
		Draft(owner[XML], Output(number[XML])) && Can(WRONG) -> faults--; o = owner[XML]; n = number[XML]; goto publishAsk }
#endif
#ifdef SUBMITTING
	/* judge of submit/confirm.go, of a file that anybody sealed: from one
	 * listing of the cluster, which was asked for after the seal */
	:: atomic { Any(Sealed) ->
		Choose(Sealed); c = id[f] - 1;
		if
		:: job[c] == HELD && released == 0 -> f = 0; goto letGo
		:: job[c] == HELD && released > 0 -> toEnd(f, PARKED)
		:: job[c] == RUNS -> toEnd(f, ENDED)
		fi;
		f = 0; c = 0 }
#ifdef SWEEP
	/* SweepGhosts of submit/ghosts.go */
#define Ghost(i) :: atomic { Dead(i) -> c = i; goto ghost }
	Ghost(0) Ghost(1) Ghost(2) Ghost(3) Ghost(4) Ghost(5)
	Ghost(6) Ghost(7) Ghost(8) Ghost(9) Ghost(10) Ghost(11)
#endif
#ifdef CANCEL_ON_ABSENCE
	:: atomic { place[JSON] < CLAIMED -> goto absent }
#endif
#endif
	od;

#ifdef ACCEPTING
	/* -- accept -------------------------------------------------------------- */
complete:
	MoveTo(Draft(e, NEW), drafts[e] = drafts[e] ^ (NEW | ACCEPT), Draft(e, ACCEPT), Draft(e, NEW), Idle, Idle);
#ifdef ACCEPT_DROPPED
drop:
	atomic {
		if
		:: unaccept(o)
		:: Dies
		fi;
		Idle };
#endif
#endif

#ifdef CLAIMING
	/* -- a claim ------------------------------------------------------------- */
#if defined(NAME_REUSED) || defined(GAP)
claim:
	MoveTo(place[f] == WAITS && SameName(f, g) && ClaimsOf(e), toClaim(f, g),
		Token(f, CLAIMED, e, n), place[f] == WAITS && SameName(f, g), Start, Idle);
#endif
claimLost:
	LookTo(Token(f, CLAIMED, e, n), place[f] == WAITS && SameName(f, g), Start, Idle);
	atomic { Idle }; /* the entry seems to be there; asked again, it isn't */
#endif

#ifdef TRANSLATING
	/* -- translate ------------------------------------------------------------- */
translate:
	atomic {
		if
		:: Has(e, DRAFTS) && !Draft(e, Output(n)) -> Draw
		:: Has(e, DRAFTS) && Draft(e, Output(n)) -> /* an exclusive create, refused */
			drafts[e] = drafts[e] & ~Output(n); Idle
		:: Dies
		fi };
seal:
#ifdef NO_SEAL
	atomic {
		if
		:: Draft(e, Output(n)) -> toJSON(e, n)
		:: !Draft(e, Output(n))
		:: Dies
		fi };
	atomic {
		if
		:: Token(XML, CLAIMED, e, n) -> retire()
		:: !Token(XML, CLAIMED, e, n)
		:: Dies
		fi;
		Idle };
#endif
	MoveTo(Token(XML, CLAIMED, e, n) && Has(e, SEALED), place[XML] = DECIDED,
		Token(XML, DECIDED, e, n), Token(XML, CLAIMED, e, n), Idle, goto unsealed);
unsealed: /* the claim is not ours any more; the draft stays */
#ifdef ENOENT_LOST
	atomic { drafts[e] = drafts[e] & ~Output(n) };
#endif
	atomic { Idle };

	/* Publish, after a wrong answer to the rename of the draft */
publish:
	atomic {
		if
		:: Draft(o, Output(n)) -> toJSON(o, n); Idle
		:: Draft(o, Output(n)) && Can(WRONG) -> faults--
		:: !Draft(o, Output(n)) -> Idle
		:: Dies
		fi };
publishAsk:
	LookFrom(Draft(o, Output(n)), goto publish, goto published);
published:
	atomic {
		if
		:: Token(XML, DECIDED, o, n) -> retire()
		:: !Token(XML, DECIDED, o, n)
		:: Dies
		fi;
		Idle };
#endif

#ifdef SUBMITTING
	/* -- a submission ---------------------------------------------------------- */
exitGate: /* linkOnce; by handle: the claim may have been moved on meanwhile */
	atomic {
		if
#ifdef NO_EXIT_GATE
		:: 1
#else
		:: once == 0 -> once = f
		:: once == f
		:: once != 0 && once != f ->
			if
			:: Token(f, CLAIMED, e, n) -> toEnd(f, PARKED)
			:: else
			fi;
			Idle
#endif
		:: !Token(f, CLAIMED, e, n) -> Idle
		:: Dies
		fi };
	atomic {
		c = Id(f, e, n);
		if
		:: Submitted
		:: Can(UNKNOWN) -> faults--; Submitted; Idle /* and the claim goes back */
		:: Dies
		fi };
#ifdef RELEASE_BEFORE_SEAL
	atomic { release(c) };
#endif
	MoveTo(Token(f, CLAIMED, e, n) && Has(e, SEALED), toSealed(f, c),
		Token(f, DECIDED, e, n), Token(f, CLAIMED, e, n), Idle, goto loser);
loser: /* the cluster's job is left alone */
#ifdef LOSER_CANCELS
	atomic {
		if
		:: cancel(c)
		:: Dies
		fi };
#endif
	atomic { Idle };

letGo:
	atomic {
		if
#ifdef RELEASE_BY_NAME
		:: release(0); release(1); release(2); release(3); release(4); release(5);
			release(6); release(7); release(8); release(9); release(10); release(11)
#else
		:: release(c)
#endif
		:: Dies
		fi;
		Idle };
#ifdef GHOSTS
ghost:
	atomic {
		if
		:: job[c] == HELD -> cancel(c)
		:: job[c] != HELD
		:: Dies
		fi;
		Idle };
#endif
#ifdef CANCEL_ON_ABSENCE
absent:
#define Cancel(i) :: atomic { job[i] == HELD -> c = i; goto ghost }
	if
	Cancel(0) Cancel(1) Cancel(2) Cancel(3) Cancel(4) Cancel(5)
	:: goto end_idle
	fi;
#endif
#endif

	/* -- a pass of reclaim ---------------------------------------------------------- */

	/* rmdirEmpty of spool/op.go. What isn't empty is for the next pass. */
#define Rmdir(what, p, gone) \
	atomic { \
		if \
		:: Has(o, what) && !Some(p, o) -> epoch[o] = epoch[o] & ~what; gone \
		:: Has(o, what) && Some(p, o) -> Idle \
		:: Has(o, what) && Can(WRONG) -> faults-- \
		:: !Has(o, what) -> gone \
		:: Dies \
		fi }
claimsOf:
	Rmdir(CLAIMS, CLAIMED, twice = 0; noClaims = 1; goto sealedOf);
claimsAsk:
	LookFrom(Has(o, CLAIMS), goto claimsOf, noClaims = 1; goto sealedOf);
sealedOf:
	Rmdir(SEALED, DECIDED, twice = 0; goto draftsOf);
sealedAsk:
	LookFrom(Has(o, SEALED), goto sealedOf, goto draftsOf);
draftsOf:
	do
	:: atomic {
		if
		:: Dies
		:: noClaims && made && Draft(o, OUTPUT) -> drafts[o] = drafts[o] & ~OUTPUT
		:: noClaims && made && Draft(o, OUTPUT * 2) -> drafts[o] = drafts[o] & ~(OUTPUT * 2)
		:: noClaims && drafts[o] == 0 -> epoch[o] = epoch[o] & ~DRAFTS; Idle
		:: !noClaims || drafts[o] != 0 -> Idle
		fi }
	od
}

/* ---- the beginning and the end ---------------------------------------------------------------- */

#define Cleared(i) (!Over(i) || !Has(i, DIRS))
#define AllCleared (Cleared(0) && Cleared(1) && Cleared(2) && Cleared(3) && Cleared(4) && Cleared(5))
#define NotAccepted (gate == 0 && place[XML] == NOWHERE)
#ifdef SUBMITTING
#define Ran(f) (place[f] == ENDED && job[id[f] - 1] == RUNS && released == 1)
#define Aside(f) (place[f] == NOWHERE || place[f] == PARKED)
#define Good (place[XML] == ENDED && (Ran(JSON) && Aside(COPY) || Ran(COPY) && Aside(JSON)))
#else
#ifdef TRANSLATING
#define Good (place[XML] == ENDED && place[JSON] == WAITS)
#else
#define Good (place[XML] == WAITS)
#endif
#endif

/* Hosts that are alike may be taken in one order: those that will be over first. */
#ifdef ACCEPTING
#define Alike(i) (i == 1 && REQUESTS == 2)
#else
#define Alike(i) (i > 0)
#endif

init {
	byte i;
	atomic {
#ifndef ACCEPTING
#ifdef TRANSLATING
		place[XML] = WAITS; gate = 1;
#else
		place[XML] = ENDED; place[JSON] = WAITS;
#ifdef TWO_COPIES
		place[COPY] = WAITS;
#endif
#endif
#endif
		do
		:: i < HOSTS ->
#ifndef EPOCH_ADOPTED
			top++;
			if
			:: epoch[i] = DIRS
			:: Can(OVER) && (!Alike(i) || Over(i - 1)) -> faults--; epoch[i] = ISOVER | BEGIN
			fi;
#endif
			run Host(i, i);
			i++
		:: else -> i = 0; break
		od
	};
	/* When nobody can do anything any more. */
#ifdef EPOCH_ADOPTED
	timeout -> skip /* out of numbers */
#else
	timeout -> assert(AllCleared && (NotAccepted || Good || Spent(XML) || Spent(JSON)))
#endif
}
