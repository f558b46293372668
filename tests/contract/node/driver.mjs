// Lets a test in another language drive supabase-js: one JSON command a line in, one JSON answer a line out.
//
// { id, op: "client", name, key, token?, flow? }     make a client; with a token it acts for that user
// { id, op: "call", name, path, args }               call e.g. "auth.signInWithPassword"; answers { data, error }
// { id, op: "subscribe", name, topic, config }       join a channel; answers { status, message }
// { id, op: "send", name, topic, event, payload, bytes? }    broadcast JSON, or bytes given as numbers
// { id, op: "httpSend", name, topic, event, payload, config }
// { id, op: "track" | "untrack", name, topic, payload }
// { id, op: "presence", name, topic }                who is present now
// { id, op: "next", name, topic, kind, timeout }     the next "broadcast", "sync" or "system" event (milliseconds)
// { id, op: "unsubscribe", name, topic }
// { id, op: "close", name }                          leave all channels
import { createInterface } from 'node:readline'
import { createClient } from '@supabase/supabase-js'

const url = process.env.SUPABASE_URL
const clients = new Map()
const channels = new Map()

class EventQueue {
  waiting = []
  events = []

  push(event) {
    const waiter = this.waiting.shift()
    if (waiter) waiter(event)
    else this.events.push(event)
  }

  next(timeout) {
    if (this.events.length > 0) return Promise.resolve(this.events.shift())
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.waiting = this.waiting.filter((waiter) => waiter !== take)
        reject(new Error(`no event within ${timeout} ms`))
      }, timeout)
      const take = (event) => {
        clearTimeout(timer)
        resolve(event)
      }
      this.waiting.push(take)
    })
  }
}

const channelOf = ({ name, topic }) => channels.get(`${name} ${topic}`)

const described = (error) =>
  error && {
    name: error.name,
    message: error.message,
    status: error.status,
    code: error.code,
    reasons: error.reasons,
  }

const operations = {
  client({ name, key, token, flow }) {
    const accessToken = token ? async () => token : undefined
    const auth = { persistSession: false, autoRefreshToken: false, flowType: flow ?? 'implicit' }
    clients.set(name, createClient(url, key, accessToken ? { accessToken } : { auth }))
    return true
  },

  async call({ name, path, args }) {
    const steps = path.split('.')
    const method = steps.pop()
    const owner = steps.reduce((object, step) => object[step], clients.get(name))
    const { data, error } = await owner[method](...args)
    return { data, error: described(error) }
  },

  subscribe({ name, topic, config }) {
    const channel = clients.get(name).channel(topic, { config })
    const queues = { broadcast: new EventQueue(), sync: new EventQueue(), system: new EventQueue() }
    channels.set(`${name} ${topic}`, { channel, queues })
    channel.on('broadcast', { event: '*' }, (message) => queues.broadcast.push(readable(message)))
    channel.on('system', {}, (message) => queues.system.push(message))
    if (config.presence) channel.on('presence', { event: 'sync' }, () => queues.sync.push(channel.presenceState()))
    return new Promise((resolve) => {
      channel.subscribe((status, error) => resolve({ status, message: error?.message }))
    })
  },

  send({ name, topic, event, payload, bytes }) {
    const content = bytes ? new Uint8Array(bytes).buffer : payload
    return channelOf({ name, topic }).channel.send({ type: 'broadcast', event, payload: content })
  },

  httpSend({ name, topic, event, payload, config }) {
    return clients.get(name).channel(topic, { config }).httpSend(event, payload)
  },

  track: (command) => channelOf(command).channel.track(command.payload),
  untrack: (command) => channelOf(command).channel.untrack(),
  presence: (command) => channelOf(command).channel.presenceState(),
  next: (command) => channelOf(command).queues[command.kind].next(command.timeout),
  unsubscribe: (command) => channelOf(command).channel.unsubscribe(),
  close: ({ name }) => clients.get(name).removeAllChannels(),
}

// Bytes cannot travel as JSON; they are shown as a list of numbers.
const readable = (message) =>
  message.payload instanceof ArrayBuffer ? { ...message, payload: [...new Uint8Array(message.payload)] } : message

const answer = (content) => process.stdout.write(`${JSON.stringify(content)}\n`)

const input = createInterface({ input: process.stdin })
input.on('line', async (line) => {
  const command = JSON.parse(line)
  try {
    answer({ id: command.id, result: (await operations[command.op](command)) ?? null })
  } catch (error) {
    answer({ id: command.id, failure: described(error) })
  }
})
input.on('close', () => process.exit(0))
