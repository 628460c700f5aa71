// Drives an engine through Sabaki's own library, @sabaki/gtp: as Sabaki does on attaching it, on moves and on analysing.
// node sabaki.js FOLDER_OF_node_modules ENGINE ARGUMENTS…   prints one JSON object: what the library understood.
const [folder, path, ...args] = process.argv.slice(2)
const {createRequire} = require('module')
const {Controller, ControllerStateTracker} = createRequire(folder + '/')('@sabaki/gtp')

async function main() {
  const controller = new Controller(path, args)
  const tracker = new ControllerStateTracker(controller)
  const seen = {refused: []}
  controller.on('response-received', ({command, response}) => {
    if (response.error) seen.refused.push([command.name, response.content])
  })
  controller.on('stopped', ({signal}) => (seen.status = signal))
  controller.start()
  const [name, version, protocol, list] = await Promise.all(
    ['name', 'version', 'protocol_version', 'list_commands'].map(name => controller.sendCommand({name}))
  )
  Object.assign(seen, {name: name.content, version: version.content, protocol: protocol.content})
  seen.commands = list.content.split('\n')

  // A handicap game with komi, brought into step; then one move less, and another game.
  const stones = [['B', 'Q16'], ['W', 'D4']].map(args => ({name: 'play', args}))
  const history = [{name: 'set_free_handicap', args: ['D16', 'Q4']}, ...stones]
  await tracker.sync({komi: 0.5, boardsize: [19, 19], history})
  await tracker.sync({komi: 0.5, boardsize: [19, 19], history: history.slice(0, 2)})
  seen.back = (await controller.sendCommand({name: 'printsgf'})).content
  await tracker.sync({komi: 6.5, boardsize: [9, 9], history: [{name: 'play', args: ['B', 'E5']}]})
  seen.komi = (await controller.sendCommand({name: 'get_komi'})).content
  seen.board = (await controller.sendCommand({name: 'showboard'})).content

  // An analysis, which Sabaki ends by asking for something else.
  const lines = []
  let told = 0
  let second
  const goesOn = new Promise(resolve => (second = resolve))
  const ended = controller.sendCommand({name: 'analyze', args: ['W', '5']}, ({line}) => {
    lines.push(line)
    if (line.startsWith('info ') && ++told === 2) second()
  })
  await goesOn
  seen.after = (await controller.sendCommand({name: 'protocol_version'})).content
  await ended
  seen.analysis = lines

  const moves = []
  await controller.sendCommand({name: 'genmove_analyze', args: ['W', '5']}, ({line}) => moves.push(line))
  seen.genmove = moves
  seen.history = tracker.state.history

  let impossible = ''
  await tracker.sync({boardsize: [9, 13], history: []}).catch(error => (impossible = error.message))
  seen.rectangular = impossible
  await controller.stop()
  console.log(JSON.stringify(seen))
}

main()
