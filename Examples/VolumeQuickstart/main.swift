// A cluster volume in one process: six copies in three zones, one commit, a zone lost, a reader.
//
//     swift run VolumeQuickstart
//
// prints:
//
//     durable on 4 of 6 copies at LSN 4
//     after losing zone c: hello from the reader

import Borealis

let fleet = try StorageFleet.inMemory()
let volume = try Volume.create(on: fleet)
let page = PageID(object: ObjectID(1), index: 0)

let lsn = try volume.write { $0.write(page, at: 0, Array("hello".utf8)) }
try volume.waitUntilDurable(lsn)
print("durable on 4 of 6 copies at LSN \(lsn)")

fleet.stopZone(ZoneID(2))
try volume.waitUntilDurable(try volume.write { $0.write(page, at: 5, Array(" from the reader".utf8)) })
let reader = try VolumeReaderInstance(of: volume)
let image = try await reader.read(page)
print("after losing zone c: \(String(decoding: image.bytes.prefix(21), as: UTF8.self))")
fleet.stop()
