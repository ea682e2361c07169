# cmake --install: the program, the configurations that it finds by name, the launch scripts, and
# shell completion.
include(GNUInstallDirs)
set(share ${CMAKE_INSTALL_DATADIR}/switchyard)
install(TARGETS switchyard RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(DIRECTORY configs/ DESTINATION ${share}/configs FILES_MATCHING PATTERN "*.textproto" PATTERN "*.md")
install(DIRECTORY launch/ DESTINATION ${share}/launch USE_SOURCE_PERMISSIONS
        FILES_MATCHING PATTERN "*.sh" PATTERN "*.md" PATTERN "*.gnuplot" PATTERN cmake EXCLUDE PATTERN completion EXCLUDE)
install(DIRECTORY cluster/scaling/ DESTINATION ${share}/cluster/scaling USE_SOURCE_PERMISSIONS
        FILES_MATCHING PATTERN "*.study" PATTERN "*.textproto" PATTERN "*.sh" PATTERN "*.md")
install(FILES launch/completion/switchyard.bash RENAME switchyard
        DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
install(FILES README.md CHANGELOG.md CITATION.cff DESTINATION ${share})
