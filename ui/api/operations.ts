/** Method, path and answer of each operation that the UI calls. Taken over by the generated client. */
import type { OperationId } from "../../src/model/permissions.ts";
import type {
	AuditRecord,
	ClusterInfo,
	ConsoleTicket,
	ForeignVm,
	Image,
	Lease,
	Me,
	Network,
	Node,
	NodeMetrics,
	Page,
	Pool,
	Session,
	Task,
	Token,
	User,
	Vm,
	VmMetrics,
	Volume,
} from "./types.ts";

export const operations: Record<OperationId, readonly [method: string, path: string]> = {
	healthGet: ["GET", "/healthz"],
	metricsGet: ["GET", "/metrics"],
	openapiGet: ["GET", "/v1/openapi.json"],
	eventsStream: ["GET", "/v1/events"],
	sessionCreate: ["POST", "/v1/sessions"],
	sessionList: ["GET", "/v1/sessions"],
	sessionDelete: ["DELETE", "/v1/sessions/{id}"],
	sessionDeleteCurrent: ["DELETE", "/v1/sessions/current"],
	meGet: ["GET", "/v1/me"],
	mePasswordChange: ["POST", "/v1/me/password"],
	tokenList: ["GET", "/v1/tokens"],
	tokenCreate: ["POST", "/v1/tokens"],
	tokenDelete: ["DELETE", "/v1/tokens/{id}"],
	userList: ["GET", "/v1/users"],
	userCreate: ["POST", "/v1/users"],
	userGet: ["GET", "/v1/users/{id}"],
	userUpdate: ["PATCH", "/v1/users/{id}"],
	userDelete: ["DELETE", "/v1/users/{id}"],
	userPasswordReset: ["POST", "/v1/users/{id}/actions/reset-password"],
	auditList: ["GET", "/v1/audit"],
	clusterGet: ["GET", "/v1/cluster"],
	clusterUpdate: ["PATCH", "/v1/cluster"],
	nodeList: ["GET", "/v1/nodes"],
	nodeGet: ["GET", "/v1/nodes/{id}"],
	nodeUpdate: ["PATCH", "/v1/nodes/{id}"],
	nodeMetricsGet: ["GET", "/v1/nodes/{id}/metrics"],
	taskList: ["GET", "/v1/tasks"],
	taskGet: ["GET", "/v1/tasks/{id}"],
	taskCancel: ["POST", "/v1/tasks/{id}/actions/cancel"],
	vmList: ["GET", "/v1/vms"],
	vmCreate: ["POST", "/v1/vms"],
	vmGet: ["GET", "/v1/vms/{id}"],
	vmUpdate: ["PATCH", "/v1/vms/{id}"],
	vmDelete: ["DELETE", "/v1/vms/{id}"],
	vmStart: ["POST", "/v1/vms/{id}/actions/start"],
	vmShutdown: ["POST", "/v1/vms/{id}/actions/shutdown"],
	vmStop: ["POST", "/v1/vms/{id}/actions/stop"],
	vmReset: ["POST", "/v1/vms/{id}/actions/reset"],
	vmPause: ["POST", "/v1/vms/{id}/actions/pause"],
	vmResume: ["POST", "/v1/vms/{id}/actions/resume"],
	vmMediaChange: ["POST", "/v1/vms/{id}/actions/change-media"],
	vmMetricsGet: ["GET", "/v1/vms/{id}/metrics"],
	vmScreenshotGet: ["GET", "/v1/vms/{id}/screenshot"],
	vmSerialLogGet: ["GET", "/v1/vms/{id}/serial-log"],
	vmConsoleTicketCreate: ["POST", "/v1/vms/{id}/console-tickets"],
	vmDomainXmlGet: ["GET", "/v1/vms/{id}/domain-xml"],
	vmCreateDemo: ["POST", "/v1/vms/actions/create-demo"],
	foreignVmList: ["GET", "/v1/foreign-vms"],
	foreignVmAdopt: ["POST", "/v1/foreign-vms/{id}/actions/adopt"],
	poolList: ["GET", "/v1/pools"],
	poolCreate: ["POST", "/v1/pools"],
	poolGet: ["GET", "/v1/pools/{id}"],
	poolUpdate: ["PATCH", "/v1/pools/{id}"],
	poolDelete: ["DELETE", "/v1/pools/{id}"],
	volumeList: ["GET", "/v1/volumes"],
	volumeCreate: ["POST", "/v1/volumes"],
	volumeGet: ["GET", "/v1/volumes/{id}"],
	volumeUpdate: ["PATCH", "/v1/volumes/{id}"],
	volumeDelete: ["DELETE", "/v1/volumes/{id}"],
	volumeResize: ["POST", "/v1/volumes/{id}/actions/resize"],
	volumeClone: ["POST", "/v1/volumes/{id}/actions/clone"],
	volumeContentGet: ["GET", "/v1/volumes/{id}/content"],
	imageList: ["GET", "/v1/images"],
	imageCreate: ["POST", "/v1/images"],
	imageGet: ["GET", "/v1/images/{id}"],
	imageUpdate: ["PATCH", "/v1/images/{id}"],
	imageDelete: ["DELETE", "/v1/images/{id}"],
	imageContentPut: ["PUT", "/v1/images/{id}/content"],
	imageUploadStatus: ["GET", "/v1/images/{id}/upload"],
	imageContentGet: ["GET", "/v1/images/{id}/content"],
	networkList: ["GET", "/v1/networks"],
	networkCreate: ["POST", "/v1/networks"],
	networkGet: ["GET", "/v1/networks/{id}"],
	networkUpdate: ["PATCH", "/v1/networks/{id}"],
	networkDelete: ["DELETE", "/v1/networks/{id}"],
	networkLeaseList: ["GET", "/v1/networks/{id}/leases"],
};

type Known = {
	healthGet: { version: string };
	sessionCreate: { session: Session; user: User };
	sessionList: Page<Session>;
	meGet: Me;
	tokenList: Page<Token>;
	tokenCreate: { token: Token; secret: string };
	userList: Page<User>;
	userCreate: User;
	userGet: User;
	userUpdate: User;
	auditList: Page<AuditRecord>;
	clusterGet: ClusterInfo;
	clusterUpdate: ClusterInfo;
	nodeList: Page<Node>;
	nodeGet: Node;
	nodeUpdate: Node;
	nodeMetricsGet: NodeMetrics | null;
	taskList: Page<Task>;
	taskGet: Task;
	taskCancel: Task;
	vmList: Page<Vm>;
	vmCreate: Vm;
	vmGet: Vm;
	vmUpdate: Vm;
	vmDelete: Task;
	vmStart: Task;
	vmShutdown: Task;
	vmStop: Task;
	vmReset: Task;
	vmPause: Task;
	vmResume: Task;
	vmMediaChange: Task;
	vmMetricsGet: VmMetrics | null;
	vmScreenshotGet: Blob;
	vmSerialLogGet: string;
	vmConsoleTicketCreate: ConsoleTicket;
	vmDomainXmlGet: string;
	vmCreateDemo: Vm;
	foreignVmList: { items: ForeignVm[] };
	foreignVmAdopt: Task;
	poolList: Page<Pool>;
	poolCreate: Pool;
	poolGet: Pool;
	poolUpdate: Pool;
	poolDelete: Task;
	volumeList: Page<Volume>;
	volumeCreate: Volume;
	volumeGet: Volume;
	volumeUpdate: Volume;
	volumeDelete: Task;
	volumeResize: Task;
	volumeClone: Volume;
	imageList: Page<Image>;
	imageCreate: Image;
	imageGet: Image;
	imageUpdate: Image;
	imageDelete: Task;
	imageContentPut: { receivedBytes: number };
	imageUploadStatus: { receivedBytes: number; fileSizeBytes: number };
	networkList: Page<Network>;
	networkCreate: Network;
	networkGet: Network;
	networkUpdate: Network;
	networkDelete: Task;
	networkLeaseList: { items: Lease[] };
};
/** `undefined` where the API answers 204, or where a browser link is used instead of a call. */
export type Answer<Operation extends OperationId> = Operation extends keyof Known ? Known[Operation] : undefined;
