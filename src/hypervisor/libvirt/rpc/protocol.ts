/** Numbers of libvirt's RPC programs, message kinds and the procedures that we use (remote_protocol.x). */

export const remoteProgram = 0x20008086;
export const remoteVersion = 1;
export const keepaliveProgram = 0x6b656570;
export const keepaliveVersion = 1;
export const keepalivePing = 1;
export const keepalivePong = 2;

export const messageType = { call: 0, reply: 1, message: 2, stream: 3 } as const;
export const messageStatus = { ok: 0, error: 1, continue: 2 } as const;

/** Feature number that switches keepalive on at the server (VIR_DRV_FEATURE_PROGRAM_KEEPALIVE). */
export const featureKeepalive = 10;
export const authNone = 0;

export const procedures = {
	connectOpen: 1,
	connectClose: 2,
	connectGetVersion: 4,
	nodeGetInfo: 6,
	connectGetCapabilities: 7,
	domainGetXMLDesc: 14,
	domainGetAutostart: 15,
	domainGetInfo: 16,
	domainLookupByName: 23,
	domainLookupByUuid: 24,
	domainReboot: 27,
	domainResume: 28,
	domainSetAutostart: 29,
	domainSuspend: 34,
	networkCreate: 39,
	networkDefineXML: 41,
	networkDestroy: 42,
	networkGetXMLDesc: 43,
	networkLookupByName: 46,
	networkLookupByUuid: 47,
	networkSetAutostart: 48,
	networkUndefine: 49,
	connectGetHostname: 59,
	connectSupportsFeature: 60,
	authList: 66,
	connectGetURI: 110,
	secretLookupByUuid: 141,
	secretDefineXML: 142,
	secretSetValue: 144,
	secretUndefine: 146,
	domainIsPersistent: 151,
	networkIsActive: 152,
	connectGetLibVersion: 157,
	domainAttachDeviceFlags: 160,
	domainDetachDeviceFlags: 161,
	domainGetJobInfo: 163,
	domainAbortJob: 164,
	domainUpdateDeviceFlags: 174,
	domainSnapshotCreateXML: 185,
	domainSnapshotNum: 187,
	domainGetBlockInfo: 194,
	domainCreateWithFlags: 196,
	domainSetVcpusFlags: 199,
	domainOpenConsole: 201,
	domainSetMemoryFlags: 204,
	domainScreenshot: 211,
	domainGetState: 212,
	domainSendKey: 226,
	nodeGetMemoryStats: 228,
	domainUndefineFlags: 231,
	domainDestroyFlags: 234,
	domainBlockJobAbort: 237,
	domainGetBlockJobInfo: 238,
	domainBlockJobSetSpeed: 239,
	domainReset: 245,
	domainBlockResize: 251,
	domainSetBlockIoTune: 252,
	domainShutdownFlags: 258,
	domainSetMetadata: 264,
	domainGetMetadata: 265,
	connectListAllDomains: 273,
	connectListAllNetworks: 283,
	connectListAllSecrets: 287,
	domainBlockCommit: 290,
	connectDomainEventCallbackRegisterAny: 316,
	networkGetDHCPLeases: 341,
	connectGetDomainCapabilities: 342,
	connectGetAllDomainStats: 344,
	domainBlockCopy: 345,
	domainDefineXMLFlags: 350,
	domainInterfaceAddresses: 353,
	domainRename: 358,
	domainDetachDeviceAlias: 392,
} as const;
export type ProcedureName = keyof typeof procedures;
