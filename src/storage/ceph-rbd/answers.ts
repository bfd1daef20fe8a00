/** The answers of Ceph's programs, as far as they are used. What does not look like one is an error with the program's name. */
import { type Static, type TSchema, Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { AppError } from "../../lib/errors.ts";

const Count = Type.Integer({ minimum: 0 });

/** Of a copy-on-write copy. `image` keeps its name while it is renamed or in the trash. */
export const ParentAnswer = Type.Object({
	pool: Type.String(),
	pool_namespace: Type.Optional(Type.String()),
	image: Type.String(),
	snapshot: Type.String(),
});

/** rbd info */
export const InfoAnswer = Type.Object({
	name: Type.String(),
	id: Type.String({ pattern: "^[0-9a-f]{1,64}$" }),
	size: Count,
	flags: Type.Array(Type.String()),
	features: Type.Array(Type.String()),
	modify_timestamp: Type.String(),
	parent: Type.Optional(ParentAnswer),
});
export type InfoAnswer = Static<typeof InfoAnswer>;

/** rbd ls --long: images and their snapshots. */
export const LongListAnswer = Type.Array(
	Type.Object({
		image: Type.String(),
		snapshot: Type.Optional(Type.String()),
		size: Count,
		parent: Type.Optional(ParentAnswer),
	}),
);
/** rbd ls */
export const ListAnswer = Type.Array(Type.String());

/** rbd du: with an entry for each snapshot too, and for what was written since. */
export const DuAnswer = Type.Object({
	images: Type.Array(Type.Object({ name: Type.String(), snapshot: Type.Optional(Type.String()), used_size: Count })),
});

/** rbd snap ls --all */
export const SnapshotsAnswer = Type.Array(
	Type.Object({
		id: Count,
		name: Type.String(),
		size: Count,
		protected: Type.Optional(Type.String()),
		namespace: Type.Optional(Type.Object({ type: Type.String() })),
	}),
);
export type SnapshotsAnswer = Static<typeof SnapshotsAnswer>;

/** rbd children */
export const ChildrenAnswer = Type.Array(
	Type.Object({ pool: Type.String(), pool_namespace: Type.Optional(Type.String()), image: Type.String() }),
);

/** rbd status */
export const StatusAnswer = Type.Object({ watchers: Type.Array(Type.Object({ address: Type.String() })) });

/** rbd lock ls: the exclusive lock is one, too. */
export const LocksAnswer = Type.Array(
	Type.Object({ id: Type.String(), locker: Type.String(), address: Type.String() }),
);
export type LocksAnswer = Static<typeof LocksAnswer>;

/** ceph osd blocklist ls */
export const BlocklistAnswer = Type.Array(Type.Array(Type.Object({ addr: Type.String() })));

/** rbd namespace ls */
export const NamespacesAnswer = Type.Array(Type.Object({ name: Type.String() }));

/** rados lock info */
export const LockAnswer = Type.Object({
	lockers: Type.Array(Type.Object({ name: Type.String(), cookie: Type.String() })),
});

/** ceph df detail */
export const DfAnswer = Type.Object({
	pools: Type.Array(
		Type.Object({
			name: Type.String(),
			stats: Type.Object({ stored: Count, max_avail: Count, quota_bytes: Type.Optional(Count) }),
		}),
	),
});

/** ceph osd pool ls detail */
export const PoolsAnswer = Type.Array(
	Type.Object({
		pool_name: Type.String(),
		/** 1: replicated, 3: erasure-coded. */
		type: Type.Integer(),
		flags_names: Type.Optional(Type.String()),
		application_metadata: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
	}),
);

/** Fails with `storage` when `text` is something else. */
export function readAnswer<T extends TSchema>(schema: T, text: string, what: string): Static<T> {
	try {
		const value: unknown = JSON.parse(text);
		if (Value.Check(schema, value)) return value;
	} catch {
		// told below
	}
	throw new AppError("storage", `What "${what}" answers is not understood.`, { context: { text: text.slice(0, 500) } });
}
