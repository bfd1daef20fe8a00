/** All benchmarks, in the order in which they run. */
import { apiList } from "./api-list.ts";
import { apiWrites } from "./api-writes.ts";
import type { Bench } from "./bench.ts";
import { clusterFailover } from "./cluster/cluster-failover.ts";
import { clusterGrowth } from "./cluster/cluster-growth.ts";
import { clusterJoin } from "./cluster/cluster-join.ts";
import { clusterLoad } from "./cluster/cluster-load.ts";
import { clusterSnapshot } from "./cluster/cluster-snapshot.ts";
import { clusterSoak } from "./cluster/cluster-soak.ts";
import { daemonProcess } from "./daemon.ts";
import { eventLatency } from "./event-latency.ts";
import { libvirtCall, libvirtStats } from "./libvirt-calls.ts";
import { guestIo } from "./storage/guest-io.ts";
import { storageCeph } from "./storage/storage-ceph.ts";
import { storageIscsi } from "./storage/storage-iscsi.ts";
import { storageLocal } from "./storage/storage-local.ts";
import { storageNfs } from "./storage/storage-nfs.ts";
import { storageVm } from "./storage/storage-vm.ts";
import { vmStart } from "./vm-start.ts";
import { vncProxy } from "./vnc-proxy.ts";

export const benches: readonly Bench[] = [
	libvirtCall,
	libvirtStats,
	vmStart,
	apiList,
	apiWrites,
	eventLatency,
	vncProxy,
	daemonProcess,
	storageLocal,
	storageNfs,
	storageCeph,
	storageIscsi,
	...storageVm,
	guestIo,
	clusterLoad,
	clusterFailover,
	clusterJoin,
	clusterSnapshot,
	clusterGrowth,
	clusterSoak,
];
