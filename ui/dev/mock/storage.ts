/** The mock's pools, volumes and images. */
import { GiB } from "../../../src/lib/units.ts";
import { roleAtLeast } from "../../../src/model/permissions.ts";
import { formatsOf, isShared, poolContentObstacle } from "../../../src/model/storage-rules.ts";
import { volumeResizeObstacle } from "../../../src/model/volume-rules.ts";
import type { Image, ImageCreate, Pool, Volume, VolumeCreate } from "../../api/types.ts";
import { isFinished } from "../../lib/task-state.ts";
import { aroundVolume, refuse, refuseAttached, refuseKept, refuseRunning, refuseWork } from "./around-volume.ts";
import { checkName, find, type Handler, type HandlerTable, MockProblem } from "./request.ts";
import type { MockState } from "./state.ts";

export function storage(state: MockState): HandlerTable {
	const checkPart = (image: Image, offset: number) => {
		if (image.phase !== "uploading")
			throw new MockProblem(409, "wrong-state", `The image is ${image.phase}; it takes no upload.`);
		if (offset !== image.receivedBytes) {
			throw new MockProblem(409, "wrong-state", `The upload goes on at ${image.receivedBytes}.`);
		}
	};
	const importSteps = (id: string) => ({
		steps: 5,
		messages: ["Receiving", "Receiving", "Checking the sum", "Inspecting", "Storing"],
		cancelable: true,
		onStep: () => {
			if (state.tables.image.get(id)?.phase === "uploading") return;
			state.change("image", id, { phase: "importing" });
		},
		onDone: () =>
			state.change("image", id, {
				phase: "ready",
				virtualSizeBytes: 3 * GiB,
				fileSizeBytes: state.tables.image.get(id)?.fileSizeBytes ?? GiB,
				sha256: "a".repeat(64),
			}),
		onFailed: (message: string) => state.change("image", id, { phase: "error", error: { code: "invalid", message } }),
	});
	const checkPoolEmpty = (pool: Pool) => {
		const { volume, image, task } = state.tables;
		const isHere = ({ poolId }: { poolId: string }) => poolId === pool.id;
		const comes = [...task.values()].some(
			({ kind, state: now, input }) => kind === "volume.move" && !isFinished(now) && input.poolId === pool.id,
		);
		const holds = { comes, volumes: [...volume.values()].some(isHere), images: [...image.values()].some(isHere) };
		refuse(poolContentObstacle(pool, holds));
	};
	const deleting = (kind: "pool" | "volume" | "image"): Handler => {
		return ({ id }) => {
			const object = find(state, kind, id);
			if (kind === "pool") checkPoolEmpty(object as Pool);
			if (kind === "volume") {
				refuseAttached(state, object as Volume);
				refuseKept(state, object as Volume);
			}
			state.change(kind, id, { phase: "deleting" } as never);
			const task = state.startTask(`${kind}.delete`, [state.refOf(kind, id)], {
				steps: 2,
				onDone: () => state.remove(kind, id),
			});
			return { status: 202, body: task, task };
		};
	};
	return {
		poolDelete: deleting("pool"),
		volumeCreate: ({ body }) => {
			const request = body as VolumeCreate;
			checkName(state, "volume", request.name);
			const origin = snapshotDisk(state, request.source);
			const { source } = request;
			const place = placeOfDisk(state, {
				...{ poolId: request.poolId ?? origin?.poolId, imageId: source?.kind === "image" ? source.imageId : undefined },
				...{ format: request.format, nodeId: request.nodeId },
			});
			if (place.elsewhere && source?.kind === "image" && !source.fullCopy)
				throw new MockProblem(422, "invalid", "The volume cannot be made.", [
					{ path: "/source/fullCopy", message: "In another pool than its source only a full copy can be made." },
				]);
			const volume = state.put("volume", {
				...state.metadata(),
				name: request.name,
				poolId: place.poolId,
				nodeId: place.nodeId,
				format: place.format,
				sizeBytes: request.sizeBytes ?? origin?.sizeBytes ?? 20 * GiB,
				allocatedBytes: null,
				...(request.provisioning === undefined ? {} : { provisioning: request.provisioning }),
				source: request.source ?? { kind: "empty" },
				phase: "creating",
				vmId: null,
				error: null,
			});
			const task = state.startTask("volume.create", [state.refOf("volume", volume.id)], {
				steps: 2,
				onDone: () => {
					const allocatedBytes = volume.provisioning === "thick" ? volume.sizeBytes : 200 * 1024;
					state.change("volume", volume.id, { phase: "ready", allocatedBytes });
				},
			});
			return { status: 201, body: volume, task };
		},
		volumeResize: ({ id, body }) => {
			const volume = find(state, "volume", id) as Volume;
			refuseWork(state, volume);
			refuse(volumeResizeObstacle(volume, aroundVolume(state), state.tables.pool.get(volume.poolId)));
			state.change("volume", id, { phase: "resizing" });
			const task = state.startTask("volume.resize", [state.refOf("volume", id)], {
				steps: 2,
				onDone: () => state.change("volume", id, { phase: "ready", sizeBytes: Number(body.sizeBytes) }),
			});
			return { status: 202, body: task, task };
		},
		volumeDelete: deleting("volume"),
		imageCreate: ({ body, user }) => {
			const request = body as ImageCreate;
			checkName(state, "image", request.name);
			if (request.source.kind === "path" && !roleAtLeast(user?.role ?? "viewer", "admin")) {
				throw new MockProblem(403, "forbidden", "Only an administrator may import files of the node.");
			}
			if (request.source.kind === "volume")
				refuseRunning(state, find(state, "volume", request.source.volumeId) as Volume);
			const upload = request.source.kind === "upload";
			const origin = request.source.kind === "image" ? (find(state, "image", request.source.imageId) as Image) : null;
			const image = state.put("image", {
				...state.metadata(),
				name: request.name,
				description: request.description ?? "",
				tags: request.tags ?? [],
				format: request.format ?? origin?.format ?? "qcow2",
				poolId: request.poolId ?? [...state.tables.pool.keys()][0] ?? "",
				nodeId: (body.nodeId as string | undefined) ?? state.nodeId,
				source: request.source,
				fileSizeBytes: request.fileSizeBytes ?? null,
				virtualSizeBytes: null,
				expectedSha256: request.sha256 ?? null,
				sha256: null,
				phase: upload ? "uploading" : "importing",
				receivedBytes: 0,
				error: null,
			});
			if (upload) return { status: 201, body: image };
			const task = state.startTask("image.import", [state.refOf("image", image.id)], importSteps(image.id));
			return { status: 201, body: image, task };
		},
		imageDelete: deleting("image"),
		imageContentPut: async ({ id, headers, bytes }) => {
			const image = find(state, "image", id) as Image;
			const offset = Number(headers.get("upload-offset"));
			checkPart(image, offset);
			const length = (await bytes()).length;
			const receivedBytes = offset + length;
			state.change("image", id, { receivedBytes });
			if (receivedBytes >= (image.fileSizeBytes ?? 0)) {
				state.change("image", id, { phase: "importing" });
				state.startTask("image.import", [state.refOf("image", id)], importSteps(id));
			}
			return { body: { receivedBytes } };
		},
		imageUploadStatus: ({ id }) => {
			const { receivedBytes, fileSizeBytes } = find(state, "image", id) as Image;
			return { body: { receivedBytes, fileSizeBytes } };
		},
	};
}

type WantedDisk = {
	poolId?: string | undefined;
	imageId?: string | undefined;
	nodeId?: string | undefined;
	format?: Volume["format"] | undefined;
};

/** Where a new disk comes to lie and as what: in the pool that was asked for, its image's, or the first. */
export function placeOfDisk(state: MockState, { poolId, imageId, format, nodeId }: WantedDisk) {
	const image = imageId === undefined ? undefined : state.tables.image.get(imageId);
	const [first] = state.tables.pool.values();
	const pool = state.tables.pool.get(poolId ?? image?.poolId ?? "") ?? first;
	return {
		poolId: pool?.id ?? "",
		nodeId: pool && isShared(pool) ? null : (nodeId ?? state.nodeId),
		format: format ?? (pool && formatsOf(pool)[0]) ?? "qcow2",
		elsewhere: image !== undefined && image.poolId !== pool?.id,
	};
}
/** Where a volume that is made of a snapshot lies, and how large it is. */
function snapshotDisk(state: MockState, source: VolumeCreate["source"]): { poolId: string; sizeBytes: number } | null {
	if (source?.kind !== "snapshot") return null;
	const disk = state.tables.snapshot.get(source.snapshotId)?.disks.find(({ volumeId }) => volumeId === source.volumeId);
	const volume = disk && state.tables.volume.get(disk.volumeId);
	if (!volume) throw new MockProblem(422, "invalid", "The snapshot holds no such disk.");
	return { poolId: volume.poolId, sizeBytes: disk.sizeBytes };
}
