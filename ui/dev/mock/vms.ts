/** The mock's VMs. */
import { GiB } from "../../../src/lib/units.ts";
import { type VmAction, vmActionObstacle } from "../../../src/model/actions.ts";
import type { Task } from "../../../src/model/task.ts";
import type { PowerState, Vm, VmCreate, VmUpdate } from "../../../src/model/vm.ts";
import { refuseWork } from "./around-volume.ts";
import { historyIntervalMs, historyOf, vmFigures } from "./figures.ts";
import { checkMatch, checkName, find, type Handler, type HandlerTable, MockProblem } from "./request.ts";
import type { MockState } from "./state.ts";
import { placeOfDisk } from "./storage.ts";

type Disk = Vm["spec"]["disks"][number];

export function vms(state: MockState): HandlerTable {
	const get = (id: string): Vm => find(state, "vm", id) as Vm;
	const setStatus = (id: string, change: Partial<Vm["status"]>) => {
		const vm = state.tables.vm.get(id);
		if (vm) state.change("vm", id, { status: { ...vm.status, ...change, updatedAt: new Date().toISOString() } });
	};
	const addressFor = (vm: Vm) =>
		vm.spec.nics.slice(0, 1).map(({ id, mac }) => ({ nicId: id, mac, address: "192.168.122.77" }));
	const power = (action: VmAction, during: PowerState, after: PowerState, steps: number): Handler => {
		return ({ id }) => {
			const vm = get(id);
			const obstacle = vmActionObstacle(action, vm);
			if (obstacle) throw new MockProblem(409, "wrong-state", obstacle);
			const task = state.startTask(`vm.${action}` as Task["kind"], [state.refOf("vm", id)], {
				steps,
				onDone: () => {
					if (vm.name.startsWith("broken")) throw new Error("QEMU ended: Could not open the disk: Permission denied.");
					const on = after === "running" || after === "paused";
					setStatus(id, {
						powerState: after,
						startedAt: on ? (vm.status.startedAt ?? new Date().toISOString()) : null,
						addresses: after === "running" ? addressFor(vm) : on ? vm.status.addresses : [],
						accelerator: on ? "tcg" : null,
						pendingRestart: after === "stopped" ? false : vm.status.pendingRestart,
						error: null,
						reason: null,
					});
				},
				onFailed: (message) => setStatus(id, { powerState: "failed", error: { code: "hypervisor", message } }),
			});
			setStatus(id, { powerState: during, taskId: task.id });
			return { status: 202, body: task, task };
		};
	};
	const create = (body: Partial<VmCreate> & { name: string }) => {
		const metadata = state.metadata();
		const network = [...state.tables.network.values()][0];
		const volumes = (body.disks ?? [{}]).map((disk, index) => {
			const known = disk.volumeId ? state.tables.volume.get(disk.volumeId) : undefined;
			if (known) {
				state.change("volume", known.id, { vmId: metadata.id });
				return known;
			}
			const { elsewhere, ...place } = placeOfDisk(state, { ...disk, nodeId: body.nodeId });
			return state.put("volume", {
				...state.metadata(),
				name: `${body.name}-disk-${index}`,
				...place,
				sizeBytes: disk.sizeBytes ?? 20 * GiB,
				allocatedBytes: null,
				...(disk.provisioning === undefined ? {} : { provisioning: disk.provisioning }),
				source: disk.imageId
					? { kind: "image", imageId: disk.imageId, fullCopy: disk.fullCopy ?? elsewhere }
					: { kind: "empty" },
				phase: "creating",
				vmId: metadata.id,
				error: null,
			});
		});
		const vcpus = body.vcpus ?? 2;
		const memory = body.memoryBytes ?? 2 * GiB;
		const vm = state.put("vm", {
			...metadata,
			name: body.name,
			description: body.description ?? "",
			tags: body.tags ?? [],
			nodeId: state.nodeId,
			spec: {
				firmware: body.firmware ?? "uefi",
				tpm: body.tpm ?? false,
				cpu: { vcpus, maxVcpus: body.maxVcpus ?? Math.max(8, vcpus * 4), model: body.cpuModel ?? "portable" },
				memory: { sizeBytes: memory, maxSizeBytes: body.maxMemoryBytes ?? memory * 4 },
				disks: volumes.map(({ id }, index) => ({
					id: `disk-${index}`,
					volumeId: id,
					bus: body.disks?.[index]?.bus ?? "virtio",
					cache: "none",
					discard: true,
					readOnly: false,
				})),
				cdroms: (body.cdroms ?? [{ imageId: null }]).map(({ imageId }, index) => ({ id: `cdrom-${index}`, imageId })),
				nics: (body.nics ?? [{}]).map((nic, index) => ({
					id: `nic-${index}`,
					networkId: nic.networkId ?? network?.id ?? "",
					mac: nic.mac ?? `52:4c:01:00:00:${(state.tables.vm.size + index).toString(16).padStart(2, "0").slice(-2)}`,
					model: nic.model ?? "virtio",
					linkUp: true,
				})),
				bootOrder: ["disk-0"],
				cloudInit: body.cloudInit ?? null,
				autostart: body.autostart ?? { enabled: false, order: 100, delayMs: 0 },
				shutdownTimeoutMs: body.shutdownTimeoutMs ?? 120_000,
			},
			desiredPower: body.start === false ? "stopped" : "running",
			deleting: false,
			status: {
				powerState: "stopped",
				reason: null,
				observedGeneration: 0,
				pendingRestart: false,
				differences: [],
				accelerator: null,
				startedAt: null,
				addresses: [],
				taskId: null,
				error: null,
				updatedAt: metadata.createdAt,
			},
		});
		const task = state.startTask("vm.create", [state.refOf("vm", vm.id)], {
			steps: 4,
			messages: ["Making disk-0", "Making disk-0", "Defining the domain", "Starting"],
			cancelable: true,
			onStep: (step) => {
				if (step === 2) for (const { id } of volumes) state.change("volume", id, { phase: "ready" });
				if (step === 3 && body.start !== false) setStatus(vm.id, { powerState: "starting" });
			},
			onDone: () => {
				if (body.start === false) return;
				setStatus(vm.id, {
					powerState: "running",
					startedAt: new Date().toISOString(),
					addresses: addressFor(vm),
					accelerator: "tcg",
				});
			},
		});
		return { status: 201, body: vm, task };
	};
	return {
		vmCreate: ({ body }) => {
			checkName(state, "vm", body.name);
			return create(body as never);
		},
		vmCreateDemo: () =>
			create({ name: `demo${state.tables.vm.size || ""}`, vcpus: 1, memoryBytes: GiB / 4, firmware: "bios" }),
		vmUpdate: ({ id, body, headers }) => {
			const vm = get(id);
			checkMatch(headers, vm);
			const update = body as VmUpdate;
			if (update.name !== undefined) checkName(state, "vm", update.name, id);
			const { name, description, tags, vcpus, maxVcpus, cpuModel, memoryBytes, maxMemoryBytes, ...rest } = update;
			const running = vm.status.powerState === "running";
			const waits =
				["firmware", "tpm", "cpuModel", "maxVcpus", "maxMemoryBytes"].some((key) => key in update) ||
				(rest.disks?.some((disk) => changesAtStart(vm, disk)) ?? false);
			const left = (volumeId: string) => rest.disks && !rest.disks.some((disk) => disk.volumeId === volumeId);
			for (const { volumeId } of vm.spec.disks) {
				const volume = state.tables.volume.get(volumeId);
				if (volume && left(volumeId)) refuseWork(state, volume);
			}
			for (const { volumeId } of rest.disks ?? []) state.change("volume", volumeId, { vmId: id });
			for (const { volumeId } of vm.spec.disks) {
				if (left(volumeId)) state.change("volume", volumeId, { vmId: null });
			}
			state.change("vm", id, {
				generation: vm.generation + 1,
				name: name ?? vm.name,
				description: description ?? vm.description,
				tags: tags ?? vm.tags,
				spec: {
					...vm.spec,
					...(rest as Partial<Vm["spec"]>),
					cpu: {
						vcpus: vcpus ?? vm.spec.cpu.vcpus,
						maxVcpus: maxVcpus ?? vm.spec.cpu.maxVcpus,
						model: cpuModel ?? vm.spec.cpu.model,
					},
					memory: {
						sizeBytes: memoryBytes ?? vm.spec.memory.sizeBytes,
						maxSizeBytes: maxMemoryBytes ?? vm.spec.memory.maxSizeBytes,
					},
				},
			});
			const task = state.startTask("vm.update", [state.refOf("vm", id)], {
				steps: 1,
				onDone: () => setStatus(id, { pendingRestart: running && (waits || get(id).status.pendingRestart) }),
			});
			return { body: get(id), task };
		},
		vmDelete: ({ id, query }) => {
			const vm = get(id);
			state.change("vm", id, { deleting: true });
			const task = state.startTask("vm.delete", [state.refOf("vm", id)], {
				steps: 2,
				onDone: () => {
					for (const { volumeId } of vm.spec.disks) {
						if (query.get("deleteVolumes") === "false") state.change("volume", volumeId, { vmId: null });
						else state.remove("volume", volumeId);
					}
					for (const { id: snapshotId, vmId } of state.tables.snapshot.values())
						if (vmId === id) state.remove("snapshot", snapshotId);
					state.remove("vm", id);
				},
			});
			return { status: 202, body: task, task };
		},
		vmStart: power("start", "starting", "running", 2),
		vmShutdown: power("shutdown", "stopping", "stopped", 3),
		vmStop: power("stop", "stopping", "stopped", 1),
		vmReset: power("reset", "running", "running", 1),
		vmPause: power("pause", "running", "paused", 1),
		vmResume: power("resume", "paused", "running", 1),
		vmMediaChange: ({ id, body }) => {
			const vm = get(id);
			const cdroms = vm.spec.cdroms.map((drive) =>
				drive.id === body.cdromId ? { ...drive, imageId: body.imageId as string | null } : drive,
			);
			state.change("vm", id, { generation: vm.generation + 1, spec: { ...vm.spec, cdroms } });
			const task = state.startTask("vm.update", [state.refOf("vm", id)], { steps: 1 });
			return { status: 202, body: task, task };
		},
		vmMetricsGet: ({ id }) => {
			if (get(id).status.powerState !== "running") throw new MockProblem(409, "wrong-state", "The VM does not run.");
			return { body: vmFigures(Date.now()) };
		},
		vmMetricsHistoryGet: ({ id, query }) => {
			const running = get(id).status.powerState === "running";
			return { body: { intervalMs: historyIntervalMs, items: running ? historyOf(query, vmFigures) : [] } };
		},
		foreignVmList: () => ({ body: { items: foreignVms(state) } }),
		foreignVmAdopt: ({ id }) => {
			const task = state.startTask("vm.adopt", [{ kind: "foreign-vm", id, name: "legacy-erp" }], { steps: 2 });
			return { status: 202, body: task, task };
		},
	};
}

/** Whether anything but its limits is another. */
function changesAtStart(vm: Vm, disk: Disk): boolean {
	const before = vm.spec.disks.find(({ id }) => id === disk.id) ?? disk;
	return (["bus", "cache", "discard", "readOnly"] as const).some((key) => disk[key] !== before[key]);
}

function foreignVms(state: MockState) {
	return [
		{
			id: "0f3a5a2e-0000-4000-8000-000000000001",
			name: "legacy-erp",
			nodeId: state.nodeId,
			powerState: "running",
			vcpus: 4,
			memoryBytes: 8 * GiB,
			obstacles: [],
			changes: [
				"Its graphics card becomes a standard VGA; it is qxl.",
				"Disk vda: its serial number becomes another one; it is WD-1234.",
			],
		},
		{
			id: "0f3a5a2e-0000-4000-8000-000000000002",
			name: "gpu-box",
			nodeId: state.nodeId,
			powerState: "stopped",
			vcpus: 16,
			memoryBytes: 64 * GiB,
			obstacles: ["It has a PCI device of the host (0000:41:00.0).", "Disk vda is an LVM volume."],
			changes: [],
		},
	];
}
