"""What requests can wait for: kinds, and the classes of known libraries, as gates name them."""

WAIT_KINDS = (
    *("event", "executor", "future", "limiter", "lock", "pool", "queue", "semaphore"),
    *("sleep", "socket", "subprocess", "thread"),
)
WAIT_CLASSES = (
    *("aiohttp.TCPConnector", "aiohttp.UnixConnector", "aiomysql.Pool"),
    *("anyio.CapacityLimiter", "anyio.Condition", "anyio.Lock", "anyio.MemoryObjectReceiveStream"),
    *("anyio.MemoryObjectSendStream", "anyio.Semaphore", "asyncio.Barrier"),
    *("asyncio.BoundedSemaphore", "asyncio.Condition", "asyncio.Event", "asyncio.LifoQueue"),
    *("asyncio.Lock", "asyncio.PriorityQueue", "asyncio.Queue", "asyncio.Semaphore"),
    *("asyncmy.Pool", "asyncpg.Pool", "httpcore.AsyncConnectionPool", "httpcore.ConnectionPool"),
    *("psycopg_pool.AsyncConnectionPool", "psycopg_pool.ConnectionPool", "queue.Queue"),
    *("redis.BlockingConnectionPool", "sqlalchemy.AsyncAdaptedQueuePool", "sqlalchemy.QueuePool"),
    *("threading.Event", "threading.Semaphore", "urllib3.HTTPConnectionPool"),
)
WAIT_NAMES = (*WAIT_KINDS, *WAIT_CLASSES)
